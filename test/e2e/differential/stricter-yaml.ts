/**
 * What Kubernetes accepts in YAML and this program refuses on purpose, by the message: faults that a person cannot see, or
 * did not mean.
 */
export const STRICTER_YAML: readonly RegExp[] = [
  // A line or paragraph separator ends a line for YAML 1.1, and no editor shows it.
  /contains an invisible character/,
  // After a document in {} or [], Kubernetes does not even look at the rest of the file.
  /has text after the bracket that closes the document/,
  // YAML 1.1 reads [?a] as a mapping with the key a.
  /plain text in \[\] or \{\} starts with : or \?/,
  // YAML 1.1 reads {a:} as the key "a:", and refuses {a:[]}.
  /plain text in \[\] or \{\} has a colon without a space/,
  // Such as !!!str, which means nothing.
  /a tag \(a word that starts with !\) is unknown/,
]
