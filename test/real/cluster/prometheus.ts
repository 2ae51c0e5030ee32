import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { obtain } from '../host/parts.ts'
import { freePort } from '../host/port.ts'
import { Program } from '../program/program.ts'
import { tempFolder } from '../host/temp-folder.ts'

/** What is scraped; the address is host:port. */
export type ScrapeTarget = {
  job: string
  address: string
  /** Added to its series, as service discovery does. Default: none. */
  labels?: Record<string, string> | undefined
  /** For an API server: how to trust it, and as whom to ask. */
  tls?: { caFile: string; token: string }
}

/** One series over time, in seconds since 1970. */
export type Line = { labels: Record<string, string>; points: [time: number, value: number][] }

/** One series of an answer. */
export type Series = { labels: Record<string, string>; value: number }

/** A real Prometheus that scrapes each second. */
export class Prometheus {
  readonly address: string
  readonly #program: Program

  /** @param ruleFiles alerts that it evaluates each second */
  static async start(targets: ScrapeTarget[], ruleFiles: string[] = []): Promise<Prometheus> {
    const binary = await obtain('prometheus')
    const folder = tempFolder('prometheus')
    const port = await freePort()
    writeFileSync(join(folder, 'prometheus.yaml'), stringify(configuration(targets, ruleFiles)))
    const program = Program.start({
      name: 'prometheus',
      command: binary,
      args: [
        `--config.file=${join(folder, 'prometheus.yaml')}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${String(port)}`,
      ],
      folder,
    })
    const prometheus = new Prometheus(program, `http://127.0.0.1:${String(port)}`)
    await program.waitUntil('being ready', async () => {
      const answer = await fetch(`${prometheus.address}/-/ready`)
      return answer.ok
    })
    return prometheus
  }

  private constructor(program: Program, address: string) {
    this.#program = program
    this.address = address
  }

  /** The series that a query gives now. Throws, with Prometheus's words, when it is none. */
  async query(expression: string): Promise<Series[]> {
    const found = await this.#ask<{ value: Sample }>('query', { query: expression })
    return found.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }))
  }

  /** As query, at each `step` seconds from `start` to `end`. */
  async queryRange(
    expression: string,
    { start, end, step }: { start: number; end: number; step: number },
  ): Promise<Line[]> {
    const range = { start: String(start), end: String(end), step: String(step) }
    const found = await this.#ask<{ values: Sample[] }>('query_range', {
      query: expression,
      ...range,
    })
    return found.map(({ metric, values }) => ({
      labels: metric,
      points: values.map(([time, value]) => [time, Number(value)]),
    }))
  }

  async #ask<Found>(path: string, parameters: Record<string, string>): Promise<Result<Found>[]> {
    const url = `${this.address}/api/v1/${path}?${new URLSearchParams(parameters).toString()}`
    const { data, error } = (await (await fetch(url)).json()) as Answer<Found>
    if (data === undefined)
      throw new Error(`${parameters['query'] ?? path}: ${error ?? 'no answer'}`)
    return data.result
  }

  async stop(): Promise<void> {
    await this.#program.terminate()
  }
}

type Sample = [time: number, value: string]
type Result<Found> = Found & { metric: Record<string, string> }
type Answer<Found> = { error?: string; data?: { result: Result<Found>[] } }

function configuration(targets: ScrapeTarget[], ruleFiles: string[]): object {
  return {
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: ruleFiles,
    scrape_configs: [...Map.groupBy(targets, ({ job }) => job)].map(([job, members]) => ({
      job_name: job,
      static_configs: members.map(({ address, labels = {} }) => ({ targets: [address], labels })),
      ...securityOf(members[0]?.tls),
    })),
  }
}

/** All members of a job are scraped in the same way. */
function securityOf(tls: ScrapeTarget['tls']): object {
  if (tls === undefined) return {}
  return {
    scheme: 'https',
    tls_config: { ca_file: tls.caFile },
    authorization: { credentials: tls.token },
  }
}
