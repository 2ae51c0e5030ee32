// The architecture as rules (docs/design.md, "Parts and direction"): an import goes to a lower layer, never to a higher one and
// never in a cycle. Folders in one layer do not know each other. `npm run direction` checks it.

const LAYERS = [
  ['main'],
  ['start'],
  ['commands'],
  ['rotate', 'status', 'drill', 'setup', 'doctor', 'node', 'escrow'],
  ['verify', 'rewrite', 'audit'],
  ['kms', 'csi', 'convergence', 'storage', 'encryption'],
  ['kube', 'etcd', 'operator'],
  ['seed'],
  ['transit'],
  ['vault'],
  ['identity'],
  ['grpc', 'admin'],
  ['telemetry'],
  ['config'],
  ['yaml', 'memory'],
  ['files', 'time'],
  ['text'],
  ['call-context'],
  ['gen', 'errors', 'secret', 'environment', 'version', 'page-size', 'digest-set'],
]

/** What may be imported in few places: foreign types and packages stop at the edge. */
const EDGES = [
  { what: '^src/gen/', from: ['kms', 'csi', 'storage', 'etcd', 'escrow'] },
  { what: '^node_modules/@grpc/', from: ['grpc', 'kms', 'csi', 'etcd'] },
  { what: '^node_modules/node-vault/', from: ['vault'] },
  { what: '^node_modules/express/', from: ['admin'] },
  { what: '^node_modules/(age-encryption|shamir-secret-sharing)/', from: ['escrow'] },
  { what: '^node_modules/prom-client/', from: ['telemetry'] },
]

/** Matches the files of a part: a folder of src, or a single file. */
const filesOf = (parts) => `^src/(${parts.join('|')})(/|[.]ts$)`

const layerRules = LAYERS.slice(1).map((layer, index) => ({
  name: `nothing-above-${layer.join('-')}`,
  comment: `src/{${layer.join(',')}} must not import from a higher layer`,
  severity: 'error',
  from: { path: filesOf(layer) },
  to: { path: filesOf(LAYERS.slice(0, index + 1).flat()) },
}))

const neighborRules = LAYERS.flatMap((layer) =>
  layer
    .filter(() => layer.length > 1)
    .map((part) => ({
      name: `${part}-not-to-its-neighbors`,
      comment: `src/${part} must not import from another part of its layer`,
      severity: 'error',
      from: { path: filesOf([part]) },
      to: { path: filesOf(layer.filter((other) => other !== part)) },
    })),
)

const edgeRules = EDGES.map(({ what, from }) => ({
  name: `only-${from.join('-')}`,
  comment: `${what} may be imported from src/{${from.join(',')}} alone`,
  severity: 'error',
  from: { path: '^src/', pathNot: [filesOf(from), what] },
  to: { path: what },
}))

export default {
  forbidden: [
    {
      name: 'no-circle',
      comment: 'two files that import each other are one piece: extract what both need',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'every-part-has-a-layer',
      comment: 'add the new part to LAYERS in .dependency-cruiser.mjs',
      severity: 'error',
      from: {},
      to: { path: '^src/', pathNot: filesOf(LAYERS.flat()) },
    },
    {
      name: 'program-not-to-tests',
      comment: 'the program must not need tests, scripts or the bench',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|scripts|bench)/' },
    },
    ...layerRules,
    ...neighborRules,
    ...edgeRules,
  ],
  options: {
    // swc reads type-only imports, too; TypeScript 7 has no API that dependency-cruiser could use yet.
    parser: 'swc',
    doNotFollow: { path: 'node_modules' },
  },
}
