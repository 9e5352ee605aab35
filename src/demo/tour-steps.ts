// Owns the tour's story as a table: what is said, what is typed, what is run, and what must be seen.

import type { Step } from './tour-step.js'
import { accessSteps } from './tour-steps-access.js'
import { evidenceSteps } from './tour-steps-evidence.js'
import { refusalSteps } from './tour-steps-refusal.js'

export const TOUR_STEPS: readonly Step[] = [...accessSteps, ...refusalSteps, ...evidenceSteps]
