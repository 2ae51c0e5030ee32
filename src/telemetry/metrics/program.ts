import { counter, gauge } from './definition.ts'

/** Of every server. */
export const programMetrics = {
  buildInfo: gauge({
    name: 'transit_bridge_build_info',
    help: 'Always 1; the labels contain the version of the program and of Node.js.',
    lookFor: 'More than one version for longer than a rollout takes.',
    labelNames: ['version', 'node'],
  }),
  logLinesDropped: counter({
    name: 'transit_bridge_log_lines_dropped_total',
    help: 'Log lines that were dropped because they could not be written in time.',
    lookFor: 'Any increase: check the disk, or the reader of the log.',
  }),
}

/** Of the KMS plugin and of the installer, which both read the plugin's service-account token. */
export const identityMetrics = {
  identityTokenExpiry: gauge({
    name: 'transit_bridge_identity_token_expiry_timestamp_seconds',
    help: 'Expiry of the service-account token that was last read for a login, in seconds since 1970; +Inf if it never expires. No series before the first read, or with a login method without such a token.',
    lookFor:
      'Less than a day away, for the token of a static pod: the program that renews it is not running.',
  }),
}
