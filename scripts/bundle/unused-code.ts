import { readFileSync } from 'node:fs'
import type { Plugin } from 'esbuild'

/**
 * Packages that others load but the program never calls: axios, which our transport replaces in node-vault
 * (src/vault/client/node-vault-request.ts); the parsers of request bodies in express, because the admin server reads none; the
 * loader of .proto files, which grpc-js needs only for its own channelz and ORCA services; and OpenTelemetry, which prom-client
 * needs only for exemplars.
 */
const UNUSED = /^(axios|body-parser|@grpc\/proto-loader|@opentelemetry\/api)$/

/** What express looks up for the names `text` and `json`, and its own defaults. The whole table has 2,500 types. */
const CONTENT_TYPES = ['text/plain', 'text/html', 'application/json', 'application/octet-stream']

/**
 * Omits code that is never used but read at every start, and partly run: the packages above, most content types, and everything
 * in undici except its pool and client. axios and undici took 45 of 200 ms (measured); the others are a fifth of the program,
 * whose text stays in memory.
 *
 * @param root where the packages are
 */
export function omitUnused(root: string): Plugin {
  return {
    name: 'omit-unused',
    setup(bundle) {
      bundle.onResolve({ filter: UNUSED }, ({ path }) => ({ path, namespace: 'unused' }))
      bundle.onLoad({ filter: /.*/, namespace: 'unused' }, ({ path }) => ({
        contents: `
        const refuse = () => { throw new Error('${path} is not part of this program') }
        for (const name of ['create', 'json', 'raw', 'text', 'urlencoded', 'loadSync']) exports[name] = refuse`,
      }))
      bundle.onResolve({ filter: /^undici$/ }, () => ({ path: 'undici', namespace: 'pool-only' }))
      bundle.onLoad({ filter: /.*/, namespace: 'pool-only' }, () => ({
        contents: `
        exports.Pool = require('undici/lib/dispatcher/pool.js')
        exports.Client = require('undici/lib/dispatcher/client.js')
        exports.buildConnector = require('undici/lib/core/connect.js')`,
        resolveDir: root,
      }))
      bundle.onLoad({ filter: /mime-db\/db\.json$/ }, ({ path }) => {
        const all = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
        const known = Object.fromEntries(CONTENT_TYPES.map((type) => [type, all[type]]))
        return { contents: JSON.stringify(known), loader: 'json' }
      })
    },
  }
}

/** undici's own switch for bundles: without it, they contain a second, experimental parser of HTTP, of 180 KB. */
export const WITHOUT_MILO = { esbuildDetection: '"bundle"' }
