// Builds the program: dist/transit-bridge.cjs, which starts one of three bundles (src/start/program.ts). One CommonJS file starts
// in half the time of a tree of modules: Node.js reads it at once, and its compiled form can be cached.
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join, relative } from 'node:path'

import { build, type BuildOptions } from 'esbuild'

import { decodeDescriptors } from './bundle/descriptors.ts'
import { omitUnused, WITHOUT_MILO } from './bundle/unused-code.ts'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly version: string
}

const options = {
  absWorkingDir: root,
  outdir: dist,
  outExtension: { '.js': '.cjs' },
  bundle: true,
  // A third less to read at every start, 20 ms of 140; names stay, so that a stack trace can be read.
  minifySyntax: true,
  minifyWhitespace: true,
  // Node.js shows the line of an uncaught error: without a limit that would be half the program.
  lineLimit: 160,
  platform: 'node',
  target: 'node24',
  format: 'cjs',
  plugins: [omitUnused(root), decodeDescriptors],
  write: false as const,
  // scripts/release/contents.ts reads which packages are in the bundle.
  metafile: true as const,
  // Node.js reads it only with --enable-source-maps.
  sourcemap: 'linked',
  sourcesContent: false,
  legalComments: 'external',
  logLevel: 'warning',
  define: {
    ...WITHOUT_MILO,
    TRANSIT_BRIDGE_VERSION: JSON.stringify(version),
    TRANSIT_BRIDGE_KMS_POLICY: JSON.stringify(
      readFileSync(join(root, 'vault-policies/kms.hcl'), 'utf8'),
    ),
    'import.meta.main': 'true',
    'import.meta.dirname': '__dirname',
  },
} satisfies BuildOptions

const results = await Promise.all([
  build({
    ...options,
    entryPoints: { 'transit-bridge': 'src/start/program.ts', commands: 'src/main.ts' },
  }),
  build({
    ...options,
    entryPoints: { kms: 'src/start/kms.ts', csi: 'src/start/csi.ts' },
    // src/start/server-code.ts runs it.
    banner: { js: '(function(require,__dirname){' },
    footer: { js: '})' },
  }),
])
const outputFiles = results.flatMap((result) => result.outputFiles)

// V8 keeps the source, with two bytes for each character if a single one is beyond Latin-1: 3 MiB of a heap of 80. In ASCII, its
// bytes need no decoding, too. esbuild escapes other characters, except in a regular expression, where `\u` escapes them.
for (const { text, path } of outputFiles.filter((file) => file.path.endsWith('.cjs'))) {
  const other = /.{0,40}[^\0-\x7f].{0,40}/.exec(text)
  if (other !== null) throw new Error(`${path} contains a character outside ASCII: ${other[0]}`)
}

// Each file is replaced atomically, so a program that starts meanwhile reads the old one or the new one.
mkdirSync(dist, { recursive: true })
const metafile = {
  path: join(dist, 'transit-bridge.meta.json'),
  contents: JSON.stringify({
    outputs: Object.assign({}, ...results.map((result) => result.metafile.outputs)) as unknown,
  }),
}
for (const { path, contents } of [...outputFiles, metafile]) {
  const unfinished = join(dist, `.${basename(path)}.${String(process.pid)}`)
  writeFileSync(unfinished, contents)
  renameSync(unfinished, path)
}

// The compile cache of the previous build is no longer used.
rmSync(join(dist, 'compile-cache'), { recursive: true, force: true })

for (const { path, contents } of outputFiles.filter((file) => file.path.endsWith('.cjs')))
  process.stdout.write(`${relative(root, path)} ${(contents.length / 1024).toFixed(0)} KiB\n`)
