import nodeVault from 'node-vault'
import type { RawAnswer } from './answer.ts'
import type { Attempt, AttemptFailure, Outcome } from './attempt.ts'
import type { Transport } from './transport.ts'

/** Reads what the transport received. */
export type AnswerReader = (answer: RawAnswer | AttemptFailure) => Outcome | Promise<Outcome>

interface RequestOptions {
  readonly headers: Record<string, string>
  readonly attempt: Attempt
}

/** The part of node-vault that is used, with the types of our transport and reader (its own are `any`). */
interface NodeVault {
  token: string
  namespace: string
  pathPrefix: string
  handleVaultResponse: AnswerReader
  read(path: string, options: RequestOptions): Promise<Outcome>
  write(path: string, body: object | undefined, options: RequestOptions): Promise<Outcome>
  list(path: string, options: RequestOptions): Promise<Outcome>
  delete(path: string, options: RequestOptions): Promise<Outcome>
}

interface TransportCall extends RequestOptions {
  readonly method: string
  readonly uri: string
  readonly json?: object
}

/** Vault at one address: node-vault over our transport. */
export class Endpoint {
  readonly transport: Transport
  readonly #vault: NodeVault

  constructor(transport: Transport, read: AnswerReader) {
    this.transport = transport
    this.#vault = createNodeVault(transport, read)
  }

  /** Sends a request once. */
  send(attempt: Attempt, headers: Record<string, string>): Promise<Outcome> {
    const { method, path, body } = attempt.request
    const options = { headers, attempt }
    switch (method) {
      case 'GET':
        return this.#vault.read(path, options)
      case 'POST':
        return this.#vault.write(path, body, options)
      case 'LIST':
        return this.#vault.list(path, options)
      case 'DELETE':
        return this.#vault.delete(path, options)
    }
  }
}

/**
 * A node-vault client that takes nothing from the environment. Without these settings (node-vault 0.12.0,
 * src/index.js) VAULT_TOKEN, VAULT_NAMESPACE and VAULT_PREFIX are used where nothing is given, DEBUG=node-vault prints
 * bodies, VAULT_SKIP_VERIFY switches certificate checks off, and axios follows redirects with the token.
 */
function createNodeVault(transport: Transport, read: AnswerReader): NodeVault {
  const { origin, text } = transport.address
  const send = ({ attempt, method, uri, headers, json }: TransportCall) =>
    transport.exchange(attempt, { method, path: uri.slice(origin.length), headers, body: json })
  const vault = nodeVault({
    endpoint: text,
    apiVersion: 'v1',
    debug: () => {},
    // The types of this class say what a request is; checking each one against a schema took 2 percent of a single Decrypt.
    tv4: Object.assign(() => true, { validate: () => true }),
    // Not used: a method for each path of Vault's API.
    commands: {},
    rpDefaults: { strictSSL: true },
    // A proxy in front of Vault may not support the method LIST; Vault treats `?list=1` the same.
    noCustomHTTPVerbs: true,
    // The option is named after an old library, but its value is any function of this form.
    'request-promise': { defaults: () => send },
  } as nodeVault.VaultOptions) as unknown as NodeVault
  vault.token = ''
  vault.namespace = ''
  vault.pathPrefix = ''
  vault.handleVaultResponse = read
  return vault
}
