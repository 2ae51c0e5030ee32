import { setImmediate } from 'node:timers/promises'

/** Work that is done in parts, with a result at the end. */
export type Parts<T> = Generator<undefined, T, undefined>

/** Does all parts at once. */
export function doAtOnce<T>(parts: Parts<T>): T {
  let step = parts.next()
  while (step.done !== true) step = parts.next()
  return step.value
}

/** Does each part in a separate turn of the event loop, so that other work waits for one part at most. */
export async function doInTurns<T>(parts: Parts<T>): Promise<T> {
  let step = parts.next()
  while (step.done !== true) {
    await setImmediate()
    step = parts.next()
  }
  return step.value
}
