export type Row = {
  readonly what: string
  readonly value: string
  /** The value divided by its baseline. */
  readonly ratio?: string
  /** The minimum for a release, and whether this run reached it. */
  readonly target?: string
  readonly ok?: boolean
}

/** Prints rows as a Markdown table, which is also readable on a terminal. */
export function printTable(rows: readonly Row[]): void {
  printCells([
    ['what', 'value', 'ratio', 'target', ''],
    ...rows.map((row) => [
      row.what,
      row.value,
      row.ratio ?? '',
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
