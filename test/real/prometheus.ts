import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { obtain } from './parts.ts'
import { freePort } from './port.ts'
import { Program } from './program.ts'
import { tempFolder } from './temp-folder.ts'

/** What is scraped; the address is host:port. */
export type ScrapeTarget = {
  job: string
  address: string
  /** For an API server: how to trust it, and as whom to ask. */
  tls?: { caFile: string; token: string }
}

/** One series of an answer. */
export type Series = { labels: Record<string, string>; value: number }

/** A real Prometheus that scrapes each second. */
export class Prometheus {
  readonly address: string
  readonly #program: Program

  static async start(targets: ScrapeTarget[]): Promise<Prometheus> {
    const binary = await obtain('prometheus')
    const folder = tempFolder('prometheus')
    const port = await freePort()
    writeFileSync(join(folder, 'prometheus.yaml'), stringify(configuration(targets)))
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
    const url = `${this.address}/api/v1/query?${new URLSearchParams({ query: expression }).toString()}`
    const { data, error } = (await (await fetch(url)).json()) as Answer
    if (data === undefined) throw new Error(`${expression}: ${error ?? 'no answer'}`)
    return data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }))
  }

  async stop(): Promise<void> {
    await this.#program.terminate()
  }
}

type Answer = {
  error?: string
  data?: { result: { metric: Record<string, string>; value: [number, string] }[] }
}

function configuration(targets: ScrapeTarget[]): object {
  return {
    global: { scrape_interval: '1s', scrape_timeout: '1s' },
    scrape_configs: targets.map(({ job, address, tls }) => ({
      job_name: job,
      static_configs: [{ targets: [address] }],
      ...(tls === undefined
        ? {}
        : {
            scheme: 'https',
            tls_config: { ca_file: tls.caFile },
            authorization: { credentials: tls.token },
          }),
    })),
  }
}
