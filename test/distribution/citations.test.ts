import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'tap'

const ROOT = join(import.meta.dirname, '..', '..')
const FOLDERS = [
  'src',
  'test',
  'bench',
  'scripts',
  'helm',
  'docs',
  'packaging',
  'proto',
  'tools',
  '.ci',
]
const TEXT = /\.(?:ts|md|yaml|tpl|txt|json|sh|proto|service)$/

/** The path of a page in this repository, and the section that may follow it in quotes. */
const CITATION = /(?<![\w/.-])docs\/[\w./-]+\.md(?:, "([^"]+)")?/g
/** The target of a Markdown link that is not a URL: a file, an anchor, or both. */
const LINK = /\]\((?!\w+:)([^)\s#]*)(?:#([^)\s]+))?\)/g

interface Found {
  readonly file: string
  readonly document: string
  readonly text: string
}

function listFiles(): string[] {
  const inFolders = FOLDERS.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => TEXT.test(name))
      .map((name) => join(folder, name)),
  )
  const atRoot = readdirSync(ROOT).filter((name) => name.endsWith('.md'))
  return [...atRoot, ...inFolders]
}

function read(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
}

/** Markdown without code blocks, whose comments would look like headings. */
function readProse(file: string): string {
  return read(file).replaceAll(/^(```|~~~)[^]*?^\1/gm, '')
}

function headingsOf(file: string): string[] {
  return [...readProse(file).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading.trim())
}

/** The anchors as GitHub makes them. */
function anchorsOf(file: string): Set<string> {
  const anchors = headingsOf(file).map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(/\s/g, '-'),
  )
  return new Set(anchors)
}

function findCitations(file: string): (Found & { section: string | undefined })[] {
  // A citation may continue in the next line of a comment.
  const text = read(file).replaceAll(/\n\s*(?:\/\/|\*|#)?\s*/g, ' ')
  return [...text.matchAll(CITATION)].map((match) => ({
    file,
    document: match[0].replace(/\.md.*$/, '.md'),
    section: match[1],
    text: match[0],
  }))
}

function findLinks(file: string): (Found & { anchor: string | undefined })[] {
  return [...readProse(file).matchAll(LINK)].map(([text, path = '', anchor]) => ({
    file,
    document: path === '' ? file : join(dirname(file), path),
    anchor,
    text,
  }))
}

void test('every document and section that a comment, a message or a page cites exists', (t) => {
  const citations = listFiles().flatMap(findCitations)
  const missing = citations
    .filter(({ document, section }) => {
      if (!existsSync(join(ROOT, document))) return true
      return section !== undefined && !headingsOf(document).includes(section)
    })
    .map(({ file, text }) => `${file}: ${text}`)
  t.strictSame(missing, [])
  t.ok(citations.some(({ section }) => section !== undefined))
  t.end()
})

void test('every link between pages leads to a file and a heading that exist', (t) => {
  const links = listFiles()
    .filter((file) => file.endsWith('.md'))
    .flatMap(findLinks)
  const broken = links
    .filter(({ document, anchor }) => {
      if (!existsSync(join(ROOT, document))) return true
      return anchor !== undefined && document.endsWith('.md') && !anchorsOf(document).has(anchor)
    })
    .map(({ file, text }) => `${file}: ${text}`)
  t.strictSame(broken, [])
  t.ok(links.some(({ anchor }) => anchor !== undefined))
  t.end()
})
