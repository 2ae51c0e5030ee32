import { watch, type FSWatcher } from 'node:fs'
import { dirname } from 'node:path'

/** A change of a volume causes several events within a short time. */
const SETTLE_MS = 200

/**
 * Calls `onChange` when one of these files is replaced, as the kubelet does in volumes; returns a function that stops it. It
 * only saves time: where the kernel cannot watch a folder, the caller's interval applies.
 */
export function watchSources(files: readonly string[], onChange: () => void): () => void {
  let pending: NodeJS.Timeout | undefined
  const soon = () => {
    clearTimeout(pending)
    pending = setTimeout(onChange, SETTLE_MS)
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
