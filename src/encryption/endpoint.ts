/**
 * The path that kube-apiserver dials for an endpoint: that of the URL, so of `unix://run/kms.sock` only `/kms.sock`
 * (k8s.io/kms pkg/util ParseEndpoint). Undefined for what it refuses.
 */
export function readSocketPath(endpoint: string): string | undefined {
  const [, path] = /^unix:(?:\/\/[^/\s?#]*)?([^?#\p{Cc}]*)/iu.exec(endpoint) ?? []
  if (path === undefined || /%(?![0-9A-Fa-f]{2})/.test(endpoint) || /\p{Cc}/u.test(endpoint))
    return undefined
  try {
    return decodeURIComponent(path)
  } catch {
    return undefined
  }
}
