// Owns the tour's story as a table: what is said, what is typed, what is run, and what must be seen.

import type { Step } from './tour-step.js'
import { accessSteps } from './tour-steps-access.js'
import { approvalSteps } from './tour-steps-approval.js'
import { evidenceSteps } from './tour-steps-evidence.js'
import { exportSteps } from './tour-steps-export.js'
import { jobSteps } from './tour-steps-job.js'
import { refusalSteps } from './tour-steps-refusal.js'

export const TOUR_STEPS: readonly Step[] = [
  ...accessSteps,
  ...refusalSteps,
  ...approvalSteps,
  ...jobSteps,
  ...exportSteps,
  ...evidenceSteps,
]
