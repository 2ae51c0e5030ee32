/** A measured number with its unit. */
export type Figure = { readonly number: number; readonly unit: 'ms' | '/s' | 'MiB' | 'µs' }

export type Row = {
  readonly what: string
  readonly value: Figure | string
  /** The value divided by its baseline. */
  readonly ratio?: number | string
  /** The minimum for a release, and whether this run reached it. */
  readonly target?: string
  readonly ok?: boolean
}

export const milliseconds = (number: number): Figure => ({ number, unit: 'ms' })
export const perSecond = (number: number): Figure => ({ number, unit: '/s' })
export const mebibytes = (number: number): Figure => ({ number, unit: 'MiB' })
export const microseconds = (number: number): Figure => ({ number, unit: 'µs' })

/** Prints rows as a Markdown table, which is also readable on a terminal, or as JSON. */
export function printTable(
  rows: readonly Row[],
  options: { json?: boolean | undefined } = {},
): void {
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`)
    return
  }
  printCells([
    ['what', 'value', 'ratio', 'target', ''],
    ...rows.map((row) => [
      row.what,
      typeof row.value === 'string' ? row.value : formatFigure(row.value),
      typeof row.ratio === 'number' ? row.ratio.toFixed(2) : (row.ratio ?? ''),
      row.target ?? '',
      row.ok === undefined ? '' : row.ok ? 'ok' : 'MISSED',
    ]),
  ])
}

/** The same with other columns; the first row has their names. */
export function printCells(cells: readonly (readonly string[])[]): void {
  const widths = cells[0]?.map((_, column) =>
    Math.max(...cells.map((row) => row[column]?.length ?? 0)),
  )
  const lines = cells.map(
    (row) => `| ${row.map((cell, column) => cell.padEnd(widths?.[column] ?? 0)).join(' | ')} |`,
  )
  const rule = `|${widths?.map((width) => '-'.repeat(width + 2)).join('|') ?? ''}|`
  process.stdout.write(`${[lines[0], rule, ...lines.slice(1)].join('\n')}\n`)
}

export function formatFigure({ number, unit }: Figure): string {
  if (unit === '/s') return `${Math.round(number).toLocaleString('en')}/s`
  const digits = { ms: number < 100 ? 3 : 0, MiB: 0, µs: 1 }[unit]
  return `${number.toFixed(digits)} ${unit}`
}
