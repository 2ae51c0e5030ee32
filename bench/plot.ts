import { formatFigure, type Row } from './table.ts'

const BAR = 22
const GAP = 8
const LABELS = 420
const WIDTH = 1000
const FIGURES = 150
const FONT = 'font-family="system-ui, sans-serif" font-size="13"'

/** An SVG picture of all rows that have a numeric ratio: one bar each, and a line at 1, the baseline. */
export function drawRatios(rows: readonly Row[]): string {
  const bars = rows.filter((row): row is Row & { ratio: number } => typeof row.ratio === 'number')
  const longest = Math.max(1, ...bars.map(({ ratio }) => ratio))
  const scale = (WIDTH - LABELS - FIGURES) / longest
  const height = bars.length * (BAR + GAP) + 2 * GAP
  const base = LABELS + scale
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${String(WIDTH)}" height="${String(height)}" ${FONT} role="img">`,
    '<title>Measured values divided by those of direct calls to Transit</title>',
    `<rect width="${String(WIDTH)}" height="${String(height)}" fill="#fff"/>`,
    ...bars.map((row, index) => drawBar(row, GAP + index * (BAR + GAP), scale)),
    `<path d="M${base.toFixed(1)} 0V${String(height)}" stroke="#444" stroke-dasharray="4 3"/>`,
    '</svg>\n',
  ].join('\n')
}

function drawBar(row: Row & { ratio: number }, top: number, scale: number): string {
  const middle = String(top + BAR * 0.7)
  const width = row.ratio * scale
  const color = row.ok === undefined ? '#7a8ba3' : row.ok ? '#2f7d4f' : '#b3402e'
  const value = typeof row.value === 'string' ? row.value : formatFigure(row.value)
  return [
    `<text x="${String(LABELS - GAP)}" y="${middle}" text-anchor="end">${escapeText(row.what)}</text>`,
    `<rect x="${String(LABELS)}" y="${String(top)}" width="${width.toFixed(1)}" height="${String(BAR)}" fill="${color}"/>`,
    `<text x="${(LABELS + width + GAP).toFixed(1)}" y="${middle}">${row.ratio.toFixed(2)} (${escapeText(value)})</text>`,
  ].join('')
}

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
