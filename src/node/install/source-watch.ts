import { watch, type FSWatcher } from 'node:fs'
import { dirname } from 'node:path'

/** A change of a volume is several events within a moment (milliseconds). */
const SETTLE = 200

/**
 * Calls `onChange` when a file among these is exchanged, as the kubelet does with those of volumes. It only makes things
 * faster: where the kernel cannot watch, whoever calls looks again by itself. Gives what ends it.
 */
export function watchSources(files: readonly string[], onChange: () => void): () => void {
  let pending: NodeJS.Timeout | undefined
  const soon = () => {
    clearTimeout(pending)
    pending = setTimeout(onChange, SETTLE)
    pending.unref()
  }
  const watchers = [...new Set(files.map((file) => dirname(file)))].flatMap((folder) =>
    watchFolder(folder, soon),
  )
  return () => {
    clearTimeout(pending)
    for (const watcher of watchers) watcher.close()
  }
}

function watchFolder(folder: string, onEvent: () => void): FSWatcher[] {
  try {
    const watcher = watch(folder, { persistent: false }, onEvent)
    watcher.on('error', () => watcher.close())
    return [watcher]
  } catch {
    return []
  }
}
