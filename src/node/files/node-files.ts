/** What the files of a node are made from. All paths are those of the host. */
export interface NodeFilesOptions {
  /** The configuration on the host. */
  readonly configFile: string
  readonly socketFolder: string
  /** Files that the configuration names: CA, token, certificates. */
  readonly files: readonly string[]
  /** Where /livez answers; undefined when admin.listen is none. */
  readonly admin: { readonly host: string; readonly port: number } | undefined
  /** Whether kms.socketGroup is set: the pod then needs the right to give its socket away. Default: not. */
  readonly hasSocketGroup?: boolean
  /** The image, for static pod and DaemonSet. */
  readonly image: string
  /** The installed program, for systemd. */
  readonly program: string
}

/** Folders that a pod must see, each once, without those that lie in another. */
export function foldersOf(options: NodeFilesOptions): readonly string[] {
  const folders = [options.configFile, ...options.files].map(parentOf)
  const distinct = [...new Set(folders)].toSorted()
  return distinct.filter(
    (folder) => !distinct.some((other) => other !== folder && folder.startsWith(`${other}/`)),
  )
}

function parentOf(file: string): string {
  const slash = file.lastIndexOf('/')
  return slash <= 0 ? '/' : file.slice(0, slash)
}
