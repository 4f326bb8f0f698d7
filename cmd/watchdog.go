package cmd

import (
	"log/slog"
	"os"
	"strconv"
	"time"
)

// reloading is what the service manager is told at the begin of a reload; READY=1
// ends it.
func reloading() string {
	now, ok := sinceBoot()
	if !ok {
		return "RELOADING=1"
	}
	return "RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(now.Microseconds(), 10)
}

// watchdogEvery is how often the service manager wants to hear that we are well,
// 0 for never, as sd_watchdog_enabled(3).
func watchdogEvery() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 || usec > int64(24*time.Hour/time.Microsecond) {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}

// watch tells the service manager that we are well, twice as often as it wants
// it, until stop is called. well returns if that is so, and hangs if not.
func watch(log *slog.Logger, well func()) (stop func()) {
	every := watchdogEvery() / 2
	if every == 0 {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			well()
			tell(log, "WATCHDOG=1")
			select {
			case <-tick.C:
			case <-end:
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}
