// Owns `vgate sessions`, the same as `vgate sessions list`.

import SessionsList from './list.js'

export default class Sessions extends SessionsList {
  static override description =
    'List sessions: your own, and everybody’s for auditors. Newest first.'
  static override examples = ['<%= config.bin %> sessions']
}
