// What happens before the first request: the log is made ours, and settings that cannot be used stop the
// start here rather than the first call.

import { record, silenceOthers } from './log'
import { settings, SettingsError } from './settings'

/** The exit status of a server that does not start. */
const EXIT_SETTINGS = 65

export function start(): void {
  silenceOthers()
  try {
    record({ event: 'started', ready: settings().tokens.length > 0 })
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error
    record({ event: 'settings_refused', problems: error.problems })
    process.exit(EXIT_SETTINGS)
  }
}
