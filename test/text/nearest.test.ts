import { test } from 'tap'

import { formatDuration, parseDuration } from '../../src/time/duration.ts'
import { findNearest, listChoices } from '../../src/text/nearest.ts'

void test('the nearest name differs in case and separators only, starts with the name, or differs in a few letters', async (t) => {
  const known = ['tokenFile', 'timeout', 'caFile', 'role', 'roleIdFile']
  t.equal(findNearest('token_file', known), 'tokenFile')
  t.equal(findNearest('TIMEOUT', known), 'timeout')
  t.equal(findNearest('ca', known), 'caFile')
  t.equal(findNearest('roles', known), 'role')
  t.equal(findNearest('roleId', known), 'roleIdFile')
  t.equal(findNearest('password', known), undefined)
  t.equal(findNearest('', known), undefined)
})

void test('choices are joined with commas and or', async (t) => {
  t.equal(listChoices(['a']), 'a')
  t.equal(listChoices(['a', 'b']), 'a or b')
  t.equal(listChoices(['a', 'b', 'c']), 'a, b or c')
})

void test('a duration is formatted in the shortest form, and parsed back to the same value', async (t) => {
  for (const text of ['0s', '1ms', '1500ms', '90s', '2m', '36h', '7d']) {
    t.equal(formatDuration(parseDuration(text) ?? -1), text)
  }
  for (const text of ['', 's', '-1s', '1 s', '1S', '1m30s', '1e3s', '0x1s', '9999999999s']) {
    t.equal(parseDuration(text), undefined, text)
  }
})
