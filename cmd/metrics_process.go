package cmd

// processStats are what the system knows of this process; what it does not say
// is 0 and not told.
type processStats struct {
	cpu, start                      float64 // seconds, of which start since 1970
	resident, virtual, virtualLimit float64 // bytes
	files, filesLimit               float64
	received, sent                  float64 // bytes, of all processes in the network namespace
}

func processMetrics(all *metricFamilies) {
	s := readProcess()
	for _, m := range []struct {
		desc *metricDesc
		v    float64
	}{
		{counterDesc("process_cpu_seconds_total", "CPU time of user and system."), s.cpu},
		{gaugeDesc("process_start_time_seconds", "When the process started, since 1970."), s.start},
		{gaugeDesc("process_resident_memory_bytes", "Resident memory."), s.resident},
		{gaugeDesc("process_virtual_memory_bytes", "Virtual memory."), s.virtual},
		{gaugeDesc("process_virtual_memory_max_bytes", "Limit of virtual memory."), s.virtualLimit},
		{gaugeDesc("process_open_fds", "Open file descriptors."), s.files},
		{gaugeDesc("process_max_fds", "Limit of open file descriptors."), s.filesLimit},
		{counterDesc("process_network_receive_bytes_total", "Bytes received by IP."), s.received},
		{counterDesc("process_network_transmit_bytes_total", "Bytes sent by IP."), s.sent},
	} {
		if m.v != 0 {
			all.add(m.desc, m.v)
		}
	}
}
