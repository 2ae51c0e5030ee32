/**
 * The path that kube-apiserver dials: the path of the endpoint URL, which is only `/kms.sock` for `unix://run/kms.sock`
 * (k8s.io/kms: pkg/util, ParseEndpoint). Undefined if it rejects the endpoint.
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
