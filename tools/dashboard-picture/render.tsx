// Runs in the browser: renders the panels of the dashboard's first row with the components that Grafana itself uses.
import {
  FieldConfigOptionsRegistry,
  FieldType,
  ThemeContext,
  applyFieldOverrides,
  createTheme,
  dateTime,
  getFieldDisplayValues,
  standardTransformers,
  toDataFrame,
  type DataFrame,
  type DataTransformerInfo,
} from '@grafana/data'
import { initPluginTranslations } from '@grafana/i18n'
import { BigValue, GlobalStyles, PanelChrome, Table, TimeSeries } from '@grafana/ui'
import { createRoot } from 'react-dom/client'
import { lastValueFrom, of } from 'rxjs'
import plotStyles from 'uplot/dist/uPlot.min.css'

/** Written into the page by scripts/draw-dashboard.ts. */
declare const PICTURE: {
  panels: { panel: any; results: { refId: string; legend: string; lines: Line[] }[] }[]
  start: number
  end: number
  width: number
}
type Line = { labels: Record<string, string>; legend: string; points: [number, number][] }

const theme = createTheme({ colors: { mode: 'dark' } })
const COLUMN = PICTURE.width / 24
const ROW = 38
const GAP = 8

const STANDARD = ['unit', 'decimals', 'min', 'max', 'mappings', 'noValue', 'thresholds', 'color']
const CUSTOM = [
  ...['width', 'align', 'cellOptions', 'inspect', 'drawStyle', 'lineWidth', 'fillOpacity'],
  ...['showPoints', 'spanNulls', 'stacking', 'thresholdsStyle', 'lineInterpolation'],
]
const property = (path: string, isCustom: boolean) => ({
  id: isCustom ? `custom.${path}` : path,
  path,
  name: path,
  isCustom,
  process: (value: unknown) => value,
  override: () => null,
  editor: () => null,
  shouldApply: () => true,
  settings: {},
})
const fieldConfigRegistry = new FieldConfigOptionsRegistry(
  () =>
    [
      ...STANDARD.map((path) => property(path, false)),
      ...CUSTOM.map((path) => property(path, true)),
    ] as any,
)

const TRANSFORMERS: Record<string, DataTransformerInfo> = {
  merge: standardTransformers.mergeTransformer,
  organize: standardTransformers.organizeFieldsTransformer,
}
/** What Grafana's form for a time series sets without being asked. */
const LINE_DEFAULTS = {
  axisPlacement: 'auto',
  axisColorMode: 'text',
  axisLabel: '',
  scaleDistribution: { type: 'linear' },
  hideFrom: { legend: false, tooltip: false, viz: false },
  lineInterpolation: 'linear',
  pointSize: 5,
  gradientMode: 'none',
}

function toFrame({ labels, legend, points }: Line, refId: string, custom: object): DataFrame {
  return toDataFrame({
    refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: points.map(([time]) => time * 1000) },
      {
        name: 'Value',
        type: FieldType.number,
        labels,
        config: { displayNameFromDS: legend, custom: { ...LINE_DEFAULTS, ...custom } },
        values: points.map(([, value]) => value),
      },
    ],
  })
}

/** The answer of one query as Grafana's data source for Prometheus shapes it with the format "table". */
function toTable(lines: Line[], refId: string): DataFrame {
  const names = [...new Set(lines.flatMap(({ labels }) => Object.keys(labels)))].filter(
    (name) => name !== '__name__',
  )
  return toDataFrame({
    refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: lines.map(() => PICTURE.end * 1000) },
      ...names.map((name) => ({
        name,
        type: FieldType.string,
        values: lines.map(({ labels }) => labels[name]),
      })),
      {
        name: `Value #${refId}`,
        type: FieldType.number,
        values: lines.map(({ points }) => points.at(-1)?.[1]),
      },
    ],
  })
}

async function prepare({ panel, results }: (typeof PICTURE.panels)[number]): Promise<DataFrame[]> {
  let data =
    panel.type === 'table'
      ? results.map(({ refId, lines }) => toTable(lines, refId))
      : results.flatMap(({ refId, lines }) =>
          lines.map((line) => toFrame(line, refId, panel.fieldConfig.defaults.custom)),
        )
  for (const { id, options } of panel.transformations ?? []) {
    const context = { interpolate: (text: string) => text } as any
    data = await lastValueFrom(of(data).pipe(TRANSFORMERS[id]!.operator(options, context)))
  }
  return applyFieldOverrides({
    data,
    fieldConfig: panel.fieldConfig,
    replaceVariables: (text) => text,
    theme,
    timeZone: 'utc',
    fieldConfigRegistry,
  })
}

const timeRange = {
  from: dateTime(PICTURE.start * 1000),
  to: dateTime(PICTURE.end * 1000),
  raw: { from: 'now-5m', to: 'now' },
}

function Content(props: { panel: any; data: DataFrame[]; width: number; height: number }) {
  const { panel, data, width, height } = props
  if (panel.type === 'table')
    return <Table data={data[0]!} width={width} height={height} cellHeight={'sm' as any} />
  if (panel.type === 'timeseries')
    return (
      <TimeSeries
        frames={data}
        timeRange={timeRange}
        timeZone="utc"
        width={width}
        height={height}
        legend={panel.options.legend}
      />
    )
  const values = getFieldDisplayValues({
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options.reduceOptions,
    replaceVariables: (text: string) => text,
    theme,
    data,
    timeZone: 'utc',
  })
  return (
    <div style={{ display: 'flex', gap: 4 }}>
      {values.map(({ display }, index) => (
        <BigValue
          key={index}
          value={display}
          width={(width - 4 * (values.length - 1)) / values.length}
          height={height}
          theme={theme}
          colorMode={panel.options.colorMode}
          graphMode={panel.options.graphMode}
          justifyMode={panel.options.justifyMode}
          textMode={panel.options.textMode === 'auto' ? ('value' as any) : panel.options.textMode}
          count={values.length}
        />
      ))}
    </div>
  )
}

function Picture({ prepared }: { prepared: { panel: any; data: DataFrame[] }[] }) {
  const top = Math.min(...prepared.map(({ panel }) => panel.gridPos.y))
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <style>{plotStyles}</style>
      {prepared.map(({ panel, data }) => {
        const { x, y, w, h } = panel.gridPos
        const width = w * COLUMN - GAP
        const height = h * ROW - GAP
        const place = { left: x * COLUMN + GAP / 2, top: (y - top) * ROW + GAP / 2, width, height }
        return (
          <div key={panel.id} style={{ position: 'absolute', ...place }}>
            <PanelChrome title={panel.title} width={width} height={height}>
              {(innerWidth, innerHeight) => (
                <Content panel={panel} data={data} width={innerWidth} height={innerHeight} />
              )}
            </PanelChrome>
          </div>
        )
      })}
    </ThemeContext.Provider>
  )
}

await initPluginTranslations('transit-bridge')
const prepared = await Promise.all(
  PICTURE.panels.map(async (filled) => ({ panel: filled.panel, data: await prepare(filled) })),
)
createRoot(document.getElementById('picture')!).render(<Picture prepared={prepared} />)
