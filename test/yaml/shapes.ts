/** Texts of `n` items each, of the kinds for which a parser may take more than linear time. */
export const SHAPES: Readonly<Record<string, (n: number) => string>> = {
  'open lists': (n) => '['.repeat(n),
  'open mappings': (n) => '{a: '.repeat(n),
  'nested lists': (n) => '['.repeat(n) + ']'.repeat(n),
  'nested block lists': (n) => '- '.repeat(n),
  'explicit keys': (n) => '? '.repeat(n),
  'keys on one line': (n) => 'a: '.repeat(n),
  'many keys': (n) => lines(n, (index) => `k${index}: 1`),
  'many flow keys': (n) => `{${lines(n, (index) => `k${index}: 1,`)}}`,
  'the same key': (n) => 'k: 1\n'.repeat(n),
  'many documents': (n) => '---\nx\n'.repeat(n),
  comments: (n) => `a:\n${' # c\n'.repeat(n)} b`,
  'empty lines': (n) => `a: |\n${'\n'.repeat(n)}`,
  spaces: (n) => ' '.repeat(n * 10),
  'an open quote': (n) => `"${'a\n'.repeat(n)}`,
  'bad escapes': (n) => `"${'\\q'.repeat(n)}"`,
  'a folded text': (n) => `a: >\n${'  b\n   c\n'.repeat(n)}`,
  tags: (n) => `[${'!a x,'.repeat(n)}]`,
  anchors: (n) => `[${'&a x,'.repeat(n)}]`,
  directives: (n) => '%YAML 1.2\n'.repeat(n),
  'aliases of one anchor': (n) => `[&a x,${'*a,'.repeat(n)}]`,
  'aliases of a long list': (n) => `[&a [${'x,'.repeat(n)}],${'*a,'.repeat(n)}]`,
  'aliases of nothing': (n) => `[${'*a,'.repeat(n)}]`,
  'an anchor for each alias': (n) => `[${lines(n, (index) => `&a${index} x,*a${index},`)}]`,
  'merge keys': (n) => '<<: {}\n'.repeat(n),
  pairs: (n) => '[]'.repeat(n),
  colons: (n) => ': '.repeat(n),
  'bad indentation': (n) => lines(n, (index) => `${' '.repeat(1 + (index % 2))}a: 1`),
}

function lines(n: number, line: (index: number) => string): string {
  return Array.from({ length: n }, (_none, index) => line(index)).join('\n')
}

/** The same for JSON. */
export const JSON_SHAPES: Readonly<Record<string, (n: number) => string>> = {
  'open lists': (n) => '['.repeat(n),
  'open mappings': (n) => '{"a":'.repeat(n),
  'nested lists': (n) => '['.repeat(n) + ']'.repeat(n),
  'nested mappings': (n) => `${'{"a":'.repeat(n)}1${'}'.repeat(n)}`,
  'many keys': (n) => `{${list(n, (index) => `"k${index}":"x"`)}}`,
  'the same key': (n) => `{${list(n, () => '"k":"x"')}}`,
  'a list of texts': (n) => `{"data":[${list(n, () => '"x"')}]}`,
  'a list of mappings': (n) => `{"data":{"batch_results":[${list(n, () => '{"plaintext":""}')}]}}`,
  'many plaintexts': (n) => `{"data":{${list(n, () => '"plaintext":"eA=="')}}}`,
  'many keys of data': (n) => `{"data":{"keys":{${list(n, (index) => `"${index}":"x"`)}}}}`,
  escapes: (n) => `{"data":{"plaintext":"${'\\u0041'.repeat(n)}"}}`,
  backslashes: (n) => `{"a":"${'\\\\'.repeat(n)}`,
  quotes: (n) => '"'.repeat(n),
  'a long number': (n) => `{"a":${'1'.repeat(n)}}`,
  spaces: (n) => `{"a":${' '.repeat(n * 10)}`,
  'one long text': (n) => `{"data":{"plaintext":"${'QUJD'.repeat(n)}"}}`,
  'unclosed text': (n) => `{"data":{"plaintext":"${'QUJD'.repeat(n)}`,
}

function list(n: number, item: (index: number) => string): string {
  return Array.from({ length: n }, (_none, index) => item(index)).join(',')
}
