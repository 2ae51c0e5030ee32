import { test } from 'tap'
import { isClass, readClass } from '../../../src/csi/class/secret-provider-class.ts'

void test('thousands of unknown names are reported in bounded time: few suggestions, and not all of them', (t) => {
  const known = '- {name: part, type: keyInfo, key: k}'
  const names = Array.from({ length: 50 }, (_none, index) => `parx${String(index)}`).join(',')
  const bundles = Array.from(
    { length: 60 },
    (_none, index) => `- {path: p${String(index)}, type: bundle, of: [part,${names}]}`,
  )
  const read = readClass({ role: 'web', objects: [known, ...bundles].join('\n') })
  const faults = isClass(read) ? [] : read
  t.equal(faults.length, 100)
  t.match(faults[0], {
    path: 'objects[1].of',
    message: 'refers to "parx0", which is not the name of an object',
    line: 2,
  })
  const hints = faults.filter(({ hint = '' }) => hint.startsWith('did you mean part'))
  t.ok(hints.length <= 20, String(hints.length))
  t.end()
})
