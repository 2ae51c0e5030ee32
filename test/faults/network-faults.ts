import { outage, WORKS, type Fault } from './fault.ts'
import { breakOff, drip, stall } from './answers.ts'

const AT_PROXY = {
  surroundings: 'proxy',
  end: ({ http }) => http.clear(),
} as const satisfies Partial<Fault>

const LATE = outage('VAULT_TIMEOUT', 'did not answer')

/** The connection to Vault fails. */
export const NETWORK_FAULTS: readonly Fault[] = [
  {
    name: 'connection refused',
    surroundings: 'proxy',
    begin: ({ network }) => network.refuse(),
    end: ({ network }) => network.pass(),
    expected: outage('VAULT_UNREACHABLE', 'connection refused'),
  },
  {
    name: 'reset in the middle of a response',
    ...AT_PROXY,
    begin: ({ http }, match) => http.alter(breakOff, { match }),
    expected: outage('VAULT_UNREACHABLE', 'the response was cut off'),
  },
  {
    name: 'silence before the headers',
    ...AT_PROXY,
    begin: ({ http }, match) => http.hold({ match }),
    expected: LATE,
  },
  {
    name: 'silence in the middle of the body',
    ...AT_PROXY,
    begin: ({ http }, match) => http.alter(stall, { match }),
    expected: LATE,
  },
  {
    name: 'a body that arrives byte by byte',
    ...AT_PROXY,
    begin: ({ http }, match) => http.alter(drip, { match }),
    expected: LATE,
  },
  ...(
    [
      ['an expired certificate', 'expired', 'is outside its validity period'],
      ['a certificate of an unknown authority', 'foreign', 'signed by an untrusted authority'],
      ['a certificate for another name', 'misnamed', 'has a certificate for another name'],
    ] as const
  ).map(([name, certificate, says]): Fault => ({
    name,
    surroundings: 'TLS',
    begin: (stage) => stage.presentCertificate(certificate),
    end: (stage) => stage.presentCertificate('valid'),
    expected: outage('VAULT_TLS_INVALID', says),
  })),
  {
    name: 'a name server that does not answer',
    surroundings: 'name server',
    begin: (stage) => stage.useNames({ isSilent: true }),
    end: (stage) => stage.useNames({ isSilent: false }),
    expected: outage('VAULT_TIMEOUT', 'the lookup of its host name has not ended'),
  },
  {
    name: 'a redirect to the active node, which vault.address contains',
    surroundings: 'two addresses',
    begin: ({ http, bao }, match) => http.redirect(bao.address, { match }),
    end: ({ http }) => http.clear(),
    expected: WORKS,
  },
  {
    name: 'a redirect to another host',
    ...AT_PROXY,
    begin: ({ http }, match) => http.redirect('https://another.test', { match }),
    expected: outage(
      'VAULT_REDIRECT_REFUSED',
      'redirects to https://another.test, which is not in vault.address',
    ),
  },
]
