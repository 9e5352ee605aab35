// Owns the proof that of many callers at once at most one wins, on the embedded store.

import { storeRaces } from '../../support/store-races.js'
import { freshLibsql } from '../../support/store-suite.js'

storeRaces(freshLibsql)
