import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** What docs/metrics.md says about a metric. Label values are bounded. */
interface Description<Label extends string> {
  readonly name: string
  readonly help: string
  /** Which values need attention. */
  readonly lookFor: string
  readonly labelNames?: readonly Label[] | undefined
}

export interface CounterDefinition<Label extends string = string> extends Description<Label> {
  readonly type: 'counter'
}

export interface GaugeDefinition<Label extends string = string> extends Description<Label> {
  readonly type: 'gauge'
  /** The value at the start, if that is a fact. Default: no series until the value is known. */
  readonly startsAt?: number | undefined
}

export interface HistogramDefinition<Label extends string = string> extends Description<Label> {
  readonly type: 'histogram'
  readonly buckets: readonly number[]
}

export type Definition = CounterDefinition | GaugeDefinition | HistogramDefinition

export const counter = <const Label extends string = never>(
  definition: Omit<CounterDefinition<Label>, 'type'>,
): CounterDefinition<Label> => ({ type: 'counter', ...definition })

export const gauge = <const Label extends string = never>(
  definition: Omit<GaugeDefinition<Label>, 'type'>,
): GaugeDefinition<Label> => ({ type: 'gauge', ...definition })

export const histogram = <const Label extends string = never>(
  definition: Omit<HistogramDefinition<Label>, 'type'>,
): HistogramDefinition<Label> => ({ type: 'histogram', ...definition })

type Registered<D> =
  D extends CounterDefinition<infer Label>
    ? Counter<Label>
    : D extends GaugeDefinition<infer Label>
      ? Gauge<Label>
      : D extends HistogramDefinition<infer Label>
        ? Histogram<Label>
        : never

export type RegisteredMetrics<Definitions> = {
  readonly [Name in keyof Definitions]: Registered<Definitions[Name]>
}

/** Creates the metrics in a registry, under the same keys. */
export function registerMetrics<const Definitions extends Readonly<Record<string, Definition>>>(
  definitions: Definitions,
  registry: Registry,
): RegisteredMetrics<Definitions> {
  const entries = Object.entries(definitions).map(([key, definition]) => [
    key,
    registerMetric(definition, registry),
  ])
  return Object.fromEntries(entries) as RegisteredMetrics<Definitions>
}

function registerMetric(definition: Definition, registry: Registry): Counter | Gauge | Histogram {
  const { name, help, labelNames = [] } = definition
  const common = { name, help, labelNames, registers: [registry] }
  switch (definition.type) {
    case 'counter':
      return new Counter(common)
    case 'histogram':
      return new Histogram({ ...common, buckets: [...definition.buckets] })
    case 'gauge': {
      const created = new Gauge(common)
      if (definition.startsAt !== undefined) created.set(definition.startsAt)
      // prom-client starts a gauge without labels at 0.
      else if (labelNames.length === 0) created.remove()
      return created
    }
  }
}

/** Sets a gauge without labels, or removes its series while there is no value. */
export function setOrRemove(target: Gauge<never>, value: number | undefined): void {
  if (value === undefined) target.remove()
  else target.set(value)
}
