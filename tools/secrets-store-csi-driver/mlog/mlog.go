// Package mlog stands in for monis.app/mlog, which is no longer available, with what the driver calls: all
// of it on klog. The driver's own lines go through klog already.
package mlog

import (
	"context"
	"os"

	"k8s.io/klog/v2"
)

// LogFormat is the form of the lines; klog has one.
type LogFormat string

const (
	FormatText LogFormat = "text"
	FormatJSON LogFormat = "json"
)

// Setup gives what is to be called at the end.
func Setup() func() { return klog.Flush }

// ValidateAndSetKlogLevelAndFormatGlobally changes nothing: flags have set the level.
func ValidateAndSetKlogLevelAndFormatGlobally(context.Context, klog.Level, LogFormat) error {
	return nil
}

func Error(message string, err error, keysAndValues ...any) {
	klog.ErrorS(err, message, keysAndValues...)
}

func Fatal(err error) {
	klog.ErrorS(err, "failed")
	klog.Flush()
	os.Exit(1)
}
