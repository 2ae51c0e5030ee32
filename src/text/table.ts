import { escapeControls } from './one-line.ts'

export interface TableOptions {
  /** Indexes of the columns to align right: those with numbers. */
  readonly alignRight?: ReadonlySet<number> | undefined
}

/** Formats a table as kubectl does: each column as wide as its widest cell, with three spaces between columns. */
export function formatTable(
  rows: readonly (readonly string[])[],
  { alignRight }: TableOptions = {},
): readonly string[] {
  const clean = rows.map((row) => row.map(escapeControls))
  const widths: number[] = []
  for (const row of clean)
    for (const [column, { length }] of row.entries())
      widths[column] = Math.max(widths[column] ?? 0, length)
  return clean.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return alignRight?.has(column) === true ? cell.padStart(width) : cell.padEnd(width)
      })
      .join('   ')
      .trimEnd(),
  )
}
