/** The part of a resource's report that lists faults, when there are none. */
export const NO_FAULTS = {
  plain: 0,
  unreadable: 0,
  unproven: 0,
  plainKeys: [],
  unreadableKeys: [],
  unprovenKeys: [],
}
