import type { SoakResult } from './soak-run.ts'

/** Whether a run proved everything. */
export function isProved({ findingCount, decrypted }: SoakResult): boolean {
  return (
    findingCount === 0 &&
    decrypted !== undefined &&
    decrypted.handedOut > 0 &&
    decrypted.decrypted === decrypted.handedOut &&
    decrypted.decryptedOfPods === decrypted.ofPods
  )
}

/** The result of a run, for a terminal. */
export function formatReport(result: SoakResult): string {
  const { seed, plannedMinutes, seconds, findings, findingCount, faults, decrypted } = result
  const lines = [
    `seed ${seed}, ${String(plannedMinutes)} min planned, ${(seconds / 60).toFixed(1)} min in all`,
    `faults: ${number(sum(Object.values(faults)))} of ${number(Object.keys(faults).length)} kinds`,
    '',
    ...formatTable(['call', 'ok', 'refused', 'no answer'], rowsOfCalls(result)),
    '',
    ...formatTable(['works again after', 'times', 'median', 'longest'], rowsOfRecoveries(result)),
    '',
    ...formatTable(['program', 'what', 'early', 'late', 'may grow by'], rowsOfLevels(result)),
    '',
    `log: ${number(result.logs.lines)} lines, ${number(result.logs.warnings)} warnings, ${number(result.logs.errors)} errors`,
  ]
  if (decrypted !== undefined) {
    const { handedOut, ofPods, decryptedOfPods, fileBytes, localKeys } = decrypted
    const size = (fileBytes / (1024 * 1024)).toFixed(1)
    lines.push(
      `DEK seeds: ${number(decrypted.decrypted)} of ${number(handedOut)} decrypt to their plaintext (${number(result.keyVersions)} key versions, ${number(localKeys)} local keys, ${size} MiB)`,
      `ciphertexts of pods: ${number(decryptedOfPods)} of ${number(ofPods)} decrypt to their plaintext`,
    )
  }
  for (const { kind, message, atSeconds } of findings)
    lines.push(`FAILED after ${String(atSeconds)} s: ${kind}: ${message}`)
  if (findingCount > findings.length)
    lines.push(`and ${number(findingCount - findings.length)} more`)
  lines.push(isProved(result) ? 'ok' : `failed; to repeat it: --seed ${seed}`)
  return `${lines.join('\n')}\n`
}

function rowsOfCalls({ calls }: SoakResult): string[][] {
  return Object.entries(calls)
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([what, { ok, refused, unanswered }]) => [what, ...[ok, refused, unanswered].map(number)])
}

function rowsOfRecoveries({ recoveries }: SoakResult): string[][] {
  const all = { fault: 'all', timesMs: recoveries.flatMap(({ timesMs }) => timesMs) }
  return [...recoveries, all].map(({ fault, timesMs }) => {
    const sorted = timesMs.toSorted((one, other) => one - other)
    const middle = sorted[Math.floor(sorted.length / 2)] ?? 0
    return [fault, number(sorted.length), formatTime(middle), formatTime(sorted.at(-1) ?? 0)]
  })
}

function rowsOfLevels({ levels }: SoakResult): string[][] {
  return levels.flatMap(({ name, levels: ofProgram }) =>
    ofProgram.map(({ figure, early, late, spare }) => [
      name,
      figure,
      early.toFixed(1),
      late.toFixed(1),
      String(spare),
    ]),
  )
}

function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [head, ...rows]
  const widths = head.map((_none, at) => Math.max(...all.map((row) => row[at]?.length ?? 0)))
  return all.map((row) =>
    row
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
}

function formatTime(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

function number(value: number): string {
  return value.toLocaleString('en')
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
