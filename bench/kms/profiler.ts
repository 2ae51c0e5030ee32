// Loaded into the program under --profile (profile.ts). SIGWINCH, which the program does not use, starts V8's sampling profiler, and the next one writes the profile.
import { renameSync, writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'

const INTERVAL_MICROSECONDS = 200

const file = process.env['PROFILE_FILE']
if (file !== undefined) listen(file)

/** Writes `FILE.started` when the profiler runs, and FILE when it has ended. */
function listen(path: string): void {
  const session = new Session()
  process.once('SIGWINCH', () => {
    process.once('SIGWINCH', () => void finish(session, path))
    void start(session, path)
  })
}

async function start(session: Session, path: string): Promise<void> {
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.setSamplingInterval', { interval: INTERVAL_MICROSECONDS })
  await session.post('Profiler.start')
  writeFileSync(`${path}.started`, '')
}

async function finish(session: Session, path: string): Promise<void> {
  const { profile } = await session.post('Profiler.stop')
  writeFileSync(`${path}.unfinished`, JSON.stringify(profile))
  renameSync(`${path}.unfinished`, path)
}
