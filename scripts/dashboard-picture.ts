// Draws the layout of a Grafana dashboard as SVG, from its panels and the results of their queries.
import type { Panel } from '../test/monitoring/dashboard.ts'
import type { Line } from '../test/real/cluster/prometheus.ts'

/** The data of a panel: the lines of all its targets, each with its legend. */
export type Filled = { panel: Panel; lines: { legend: string; line: Line }[] }
/** The time range, in seconds since 1970. */
export type Span = { start: number; end: number }

const WIDTH = 1440
const ROW = 30
const GAP = 8
const PADDING = 12
const CAPTION = 34
const COLUMN = (WIDTH - 2 * PADDING + GAP) / 24
/** Maximum number of legends under a panel; the others are counted. */
const LEGENDS = 6
const PALETTE = ['#73bf69', '#f2cc0c', '#5794f2', '#ff9830', '#f2495c', '#b877d9', '#8ab8ff']
const COLORS: Record<string, string> = { red: '#d44a3a', orange: '#d9822b', green: '#2f8f46' }

type Box = { x: number; y: number; w: number; h: number }

export function drawDashboard(filled: Filled[], span: Span, caption: string): string {
  const rows = Math.max(...filled.map(({ panel: { gridPos } }) => gridPos.y + gridPos.h))
  const height = CAPTION + rows * ROW + PADDING
  const parts = filled.map((each) => drawPanel(each, span))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${String(WIDTH)} ${String(height)}" font-family="Inter, Helvetica, Arial, DejaVu Sans, sans-serif" font-size="11" fill="#ccccdc">`,
    `<title>The dashboard transit-bridge: ${escape(caption)}</title>`,
    `<rect width="${String(WIDTH)}" height="${String(height)}" fill="#111217"/>`,
    text({ x: PADDING, y: 22 }, 'transit-bridge', 'font-size="16" font-weight="600"'),
    text({ x: WIDTH - PADDING, y: 21 }, caption, 'text-anchor="end" fill="#8e8ea0"'),
    ...parts,
    '</svg>\n',
  ].join('\n')
}

function drawPanel({ panel, lines }: Filled, span: Span): string {
  const { gridPos: grid } = panel
  const box = {
    x: PADDING + grid.x * COLUMN,
    y: CAPTION + grid.y * ROW,
    w: grid.w * COLUMN - GAP,
    h: grid.h * ROW - GAP,
  }
  if (panel.type === 'row')
    return text(
      { x: box.x, y: box.y + 17 },
      `⌄  ${panel.title}`,
      'font-size="13" font-weight="600"',
    )
  if (panel.type === 'stat') return drawStat(panel, lines, box)
  const frame = rectangle(box, 'fill="#181b1f" stroke="#2b2e35"')
  const title = drawTitle(panel, box)
  const inner = { x: box.x + 10, y: box.y + 32, w: box.w - 20, h: box.h - 40 }
  const content =
    panel.type === 'table' ? drawTable(lines, inner) : drawLines(panel, lines, inner, span)
  return [frame, title, content].join('\n')
}

function drawTitle({ title }: Panel, { x, y, w }: Box): string {
  // A letter of 12 px is some 6.4 px wide.
  const capacity = Math.floor((w - 20) / 6.4)
  const shown = title.length > capacity ? `${title.slice(0, capacity - 1)}…` : title
  return text({ x: x + 10, y: y + 20 }, shown, 'font-size="12" font-weight="600"')
}

function drawStat(panel: Panel, lines: Filled['lines'], box: Box): string {
  const value = lines.at(0)?.line.points.at(-1)?.[1]
  const { unit, thresholds } = panel.fieldConfig?.defaults ?? {}
  const reached = (thresholds?.steps ?? []).filter(
    (step) => value !== undefined && (step.value ?? -Infinity) <= value,
  )
  const color = COLORS[reached.at(-1)?.color ?? ''] ?? '#3d3f47'
  const shown = value === undefined ? 'No data' : format(value, unit)
  const middle = { x: box.x + box.w / 2, y: box.y + box.h / 2 + 24 }
  return [
    rectangle(box, `fill="${color}"`),
    `<g fill="#fff">${drawTitle(panel, box)}`,
    `${text(middle, shown, 'font-size="34" font-weight="600" text-anchor="middle"')}</g>`,
  ].join('\n')
}

/** The table of plugins: the labels of each series, and healthy or not. */
function drawTable(lines: Filled['lines'], box: Box): string {
  const columns = ['node', 'reason', 'healthy']
  const rows = lines.map(({ line: { labels, points } }) => [
    labels['instance'] ?? '',
    labels['reason'] ?? '',
    points.at(-1)?.[1] === 1 ? 'yes' : 'no',
  ])
  const wide = box.w / columns.length
  const cells = [columns, ...rows].flatMap((row, index) =>
    row.map((cell, column) => {
      const place = { x: box.x + column * wide, y: box.y + index * 28, w: wide - 4, h: 24 }
      const fill = cell === 'yes' ? COLORS['green'] : cell === 'no' ? COLORS['red'] : undefined
      const style = index === 0 ? 'fill="#6e9fff" font-weight="600"' : 'fill="#fff"'
      const label = text({ x: place.x + 8, y: place.y + 16 }, cell, style)
      return fill === undefined ? label : rectangle(place, `fill="${fill}"`) + label
    }),
  )
  return cells.join('\n')
}

function drawLines(panel: Panel, lines: Filled['lines'], box: Box, span: Span): string {
  const unit = panel.fieldConfig?.defaults.unit
  const shown = lines.map(({ legend, line }) => ({
    legend,
    points: line.points.filter(([, value]) => Number.isFinite(value)),
  }))
  const { low, high, step } = scale(
    panel,
    shown.flatMap(({ points }) => points.map(([, v]) => v)),
  )
  const legends = shown.slice(0, LEGENDS).filter(({ legend }) => legend !== '')
  const legendRows = layLegends(
    legends.map(({ legend }) => legend),
    Math.max(0, lines.length - LEGENDS),
    box.w,
  )
  const plot = {
    x: box.x + 62,
    y: box.y + 4,
    w: box.w - 66,
    h: box.h - 24 - 16 * legendRows.height,
  }
  const toX = (time: number) => plot.x + ((time - span.start) / (span.end - span.start)) * plot.w
  const toY = (value: number) => plot.y + plot.h * (1 - (value - low) / (high - low))
  const grid: string[] = []
  for (let value = low; value <= high + step / 2; value += step) {
    const y = round(toY(value))
    grid.push(
      `<path d="M${round(plot.x)} ${y}h${round(plot.w)}" stroke="#2b2e35"/>`,
      text(
        { x: plot.x - 6, y: Number(y) + 4 },
        format(value, unit),
        'text-anchor="end" fill="#8e8ea0"',
      ),
    )
  }
  for (let minute = Math.ceil(span.start / 60) * 60; minute <= span.end; minute += 60) {
    const label = new Date(minute * 1000).toISOString().slice(11, 16)
    const place = { x: toX(minute), y: plot.y + plot.h + 15 }
    grid.push(text(place, label, 'text-anchor="middle" fill="#8e8ea0"'))
  }
  const curves = shown.map(({ points }, index) => {
    const path = points.map(([time, value]) => `${round(toX(time))} ${round(toY(value))}`).join('L')
    return path && `<path d="M${path}" fill="none" stroke="${colorOf(index)}" stroke-width="1.5"/>`
  })
  const legend = legendRows.items.map(({ x, row, name }, index) => {
    const place = { x: box.x + x, y: plot.y + plot.h + 34 + row * 16 }
    const mark = { x: place.x, y: place.y - 5, w: 12, h: 3 }
    const isCount = index === legends.length
    return [
      isCount ? '' : rectangle(mark, `fill="${colorOf(index)}"`),
      text({ x: place.x + (isCount ? 0 : 17), y: place.y }, name, 'font-size="10.5"'),
    ].join('')
  })
  return [...grid, ...curves, ...legend].join('\n')
}

/** The range of the axis, in readable steps. */
function scale(
  { fieldConfig }: Panel,
  values: number[],
): { low: number; high: number; step: number } {
  const { min = 0, max } = fieldConfig?.defaults ?? {}
  const low = Math.min(min, ...values)
  const top = max ?? Math.max(...values, low)
  const range = top > low ? top - low : 1
  const isBytes = fieldConfig?.defaults.unit === 'bytes'
  const rough = range / 4
  const power = isBytes ? 2 ** Math.floor(Math.log2(rough)) : 10 ** Math.floor(Math.log10(rough))
  const step =
    [1, 2, 2.5, 5, 10].map((times) => times * power).find((each) => each >= rough) ?? power
  return { low, high: low + Math.ceil(range / step - 1e-9) * step, step }
}

/** Places legends one after the other, in as many rows as needed. */
function layLegends(legends: string[], left: number, width: number) {
  const names = left > 0 ? [...legends, `and ${String(left)} more`] : legends
  let [x, row] = [0, 0]
  const items = names.map((name) => {
    const itemWidth = 17 + name.length * 5.9 + 14
    if (x > 0 && x + itemWidth > width) [x, row] = [0, row + 1]
    const item = { x, row, name }
    x += itemWidth
    return item
  })
  return { items, height: row + 1 }
}

const SECONDS: [from: number, per: number, suffix: string][] = [
  [86_400, 86_400, ' days'],
  [7200, 3600, ' h'],
  [300, 60, ' min'],
  [1, 1, ' s'],
  [1e-3, 1e-3, ' ms'],
  [0, 1e-6, ' µs'],
]

function format(value: number, unit = 'none'): string {
  if (unit === 'percentunit') return `${short(value * 100)}%`
  if (unit === 'bytes') return `${short(value / 2 ** 20)} MiB`
  if (unit === 'reqps') return `${short(value)} req/s`
  if (unit === 'ops') return `${short(value)} ops/s`
  if (unit !== 's' || value === 0) return short(value) + (unit === 's' ? ' s' : '')
  const [, per = 1, suffix = ' s'] =
    SECONDS.find(([from]) => Math.abs(value) >= from * 0.9999) ?? []
  return short(value / per) + suffix
}

function short(value: number): string {
  return String(Number(value.toPrecision(3)))
}

function colorOf(index: number): string {
  return PALETTE[index % PALETTE.length] ?? '#73bf69'
}

function text({ x, y }: { x: number; y: number }, words: string, style = ''): string {
  return `<text x="${round(x)}" y="${round(y)}" ${style}>${escape(words)}</text>`
}

function rectangle({ x, y, w, h }: Box, style: string): string {
  return `<rect x="${round(x)}" y="${round(y)}" width="${round(w)}" height="${round(h)}" rx="2" ${style}/>`
}

function round(value: number): string {
  return String(Math.round(value * 10) / 10)
}

function escape(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
