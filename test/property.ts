import fc from 'fast-check'
import { test } from 'tap'

/** The same inputs in each run of the tests; other values look for new ones (CONTRIBUTING.md, "Property tests"). */
const SEED = Number(process.env['TRANSIT_BRIDGE_TEST_SEED'] ?? 20_261_127)
/** How many times more inputs than `npm test` uses. */
const TIMES = Number(process.env['TRANSIT_BRIDGE_TEST_TIMES'] ?? 1)
const RUNS = 200

type Arbitraries<Values extends unknown[]> = {
  readonly [Index in keyof Values]: fc.Arbitrary<Values[Index]>
}

/**
 * Declares a test of a property: `check` throws for no values of the arbitraries. A failure prints the smallest values for
 * which it does, the seed, and the path to these values.
 */
export function holds<Values extends [unknown, ...unknown[]]>(
  sentence: string,
  arbitraries: Arbitraries<Values>,
  check: (...values: Values) => void | Promise<void>,
  runs = RUNS,
): void {
  void test(sentence, async (t) => {
    const property = fc.asyncProperty<Values>(
      ...(arbitraries as { [Index in keyof Values]: fc.Arbitrary<Values[Index]> }),
      async (...values) => {
        await check(...values)
      },
    )
    const result = await fc.check(property, { seed: SEED, numRuns: Math.ceil(runs * TIMES) })
    t.notOk(result.failed, result.failed ? describe(result) : `${String(result.numRuns)} inputs`)
  })
}

function describe<Values>(result: fc.RunDetails<Values>): string {
  const { errorInstance } = result
  const stack = errorInstance instanceof Error ? errorInstance.stack : String(errorInstance)
  return `${String(fc.defaultReportMessage(result))}\n${String(stack)}`
}
