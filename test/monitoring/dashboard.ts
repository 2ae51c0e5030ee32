import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const CHART = join(import.meta.dirname, '../../helm/transit-bridge')

export type Panel = {
  id: number
  type: string
  title: string
  links?: { title: string; url: string }[]
  description?: string
  gridPos: { h: number; w: number; x: number; y: number }
  targets?: { expr: string; legendFormat: string }[]
  fieldConfig?: {
    defaults: {
      unit?: string
      min?: number
      max?: number
      thresholds?: { steps: { color: string; value: number | null }[] }
    }
  }
}

export type Dashboard = {
  uid: string
  panels: Panel[]
  templating: { list: { name: string; query: string | { query: string } }[] }
  annotations: { list: { target?: { expr: string } }[] }
}

export function readDashboard(): Dashboard {
  return JSON.parse(
    readFileSync(join(CHART, 'dashboards/transit-bridge.json'), 'utf8'),
  ) as Dashboard
}

/** Every query of the dashboard, by the title of its panel. */
export function queriesOf({ panels }: Dashboard): { title: string; expr: string }[] {
  return panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })))
}

/** A query as Grafana would send it with all variables at All. */
export function fillVariables(expr: string, rateInterval = '1m'): string {
  return expr
    .replaceAll(/"\$(cluster|instance|provider)"/g, '".*"')
    .replaceAll('$__rate_interval', rateInterval)
    .replaceAll('$__range', '1h')
}
