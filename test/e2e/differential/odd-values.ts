/** Values at the edge of what Kubernetes accepts, in the form that keeps a list of them readable. */
function list(text: string): readonly string[] {
  return text.split('|')
}

/** Unquoted, YAML 1.1 and 1.2 read some of them differently. */
export const SCALARS = list(
  'yes|no|on|off|y|n|true|False|null|~|1|0x10|0o17|017|1_000|1e3|.5|-.inf|.nan|2001-01-01|1:30|0b11|08|=|<<|',
)

export const RESOURCES = list(
  '*.|*.*|*.apps|*|Secrets|ingresses.extensions|events.events.k8s.io|secrets.*|apiserveripinfo|serviceipallocations||a b|.apps|secrets.',
)

export const ENDPOINTS = [
  ...list('|unix:|unix://|unix:///|unix:/run/a|unix:a|unix://run/a|UNIX:///a|unix:///@abstract'),
  ...list('tcp://1.2.3.4:5|/run/a|unix:///a b|unix:///a%20b|unix:///a%2|unix:///a%zz|unix://a b/c'),
  ...list('unix://h:80/c|unix://h:x/c|unix://[::1]/c|unix://[::1/c|unix://u@h/c|unix://u:p@h/c'),
  ...list('unix:///a?q=1|unix:///a#f|unix:///a?%zz|unix:///a#%zz|unix:///\u00e9|unix://\u00e9/c'),
  ...list('unix:///a\tb|unix://a%2fb/c| unix:///a|1unix:///a|unix:///a:b|unix://a:/b|unix://:80/b'),
  ...list(':///a|unix:///a\\b|unix:///<a>|unix://a"b/c'),
]

export const DURATIONS = [
  ...list('0|0s|-3s|3||3 s|s|1d|3S|1.s|.s|1e3s|0.1ns|0.9ns|1us|1µs|1μs|1s1s|--3s|+|-'),
  ...list('9223372036s|9223372037s|2562047h|2562048h|9223372036854775807ns|9223372036854775808ns'),
  '0.00000000000000000000001h',
]

/** What an edit inserts somewhere in a text. */
export const INSERTIONS = [
  ...list(
    '\t| |\n|\r\n|#| # |:|: |- |,|"|\'|{|}|[|]|*|&|&a |*a|!|!!str |!!int |!!map |!x |>|%|@|`|?',
  ),
  ...list('<<: |~|null|yes|0x1F|1e3|.5|\\|\u00e9|\u0085|\u00a0|\u0007|\ufeff|---\n|\n---\n|...\n'),
  ...list('\n...\n|//|/* */|=|\\n'),
  '|',
]
