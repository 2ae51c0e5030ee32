import { posix } from 'node:path'

const FOLDER = 'docs/operations'

/**
 * docs/operations/systemd.md for a host, where the other pages are missing: a link becomes the path of its file in the source, and
 * the marks for tests are removed.
 */
export function renderInstallPage(page: string): string {
  const text = page.replaceAll(/<!-- [^>]* -->\n\n/g, '')
  const linked = text.replaceAll(
    /\[([^\]]+)\]\(([^)#]+)[^)]*\)/g,
    (_all, words: string, to: string) => {
      const file = posix.join(FOLDER, to)
      return words === posix.basename(to) ? file : `${words} (${file})`
    },
  )
  return linked.replace(
    '\n\n',
    '\n\nThe source of transit-bridge has the files in `docs` and `test` that this page names.\n\n',
  )
}
