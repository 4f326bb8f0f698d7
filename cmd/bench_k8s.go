package cmd

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// The parts of Kubernetes' objects that a Job of shards needs.
type (
	k8sMeta struct {
		Name   string            `yaml:"name,omitempty"`
		Labels map[string]string `yaml:"labels,omitempty"`
	}
	k8sConfigMap struct {
		APIVersion string            `yaml:"apiVersion"`
		Kind       string            `yaml:"kind"`
		Metadata   k8sMeta           `yaml:"metadata"`
		Data       map[string]string `yaml:"data"`
	}
	k8sJob struct {
		APIVersion string     `yaml:"apiVersion"`
		Kind       string     `yaml:"kind"`
		Metadata   k8sMeta    `yaml:"metadata"`
		Spec       k8sJobSpec `yaml:"spec"`
	}
	k8sJobSpec struct {
		CompletionMode       string      `yaml:"completionMode"`
		Completions          int         `yaml:"completions"`
		Parallelism          int         `yaml:"parallelism"`
		BackoffLimitPerIndex int         `yaml:"backoffLimitPerIndex"`
		Template             k8sTemplate `yaml:"template"`
	}
	k8sTemplate struct {
		Metadata k8sMeta    `yaml:"metadata"`
		Spec     k8sPodSpec `yaml:"spec"`
	}
	k8sPodSpec struct {
		RestartPolicy string         `yaml:"restartPolicy"`
		Spread        []k8sSpread    `yaml:"topologySpreadConstraints"`
		Containers    []k8sContainer `yaml:"containers"`
		Volumes       []k8sVolume    `yaml:"volumes"`
	}
	k8sSpread struct {
		MaxSkew           int         `yaml:"maxSkew"`
		TopologyKey       string      `yaml:"topologyKey"`
		WhenUnsatisfiable string      `yaml:"whenUnsatisfiable"`
		LabelSelector     k8sSelector `yaml:"labelSelector"`
	}
	k8sSelector struct {
		MatchLabels map[string]string `yaml:"matchLabels"`
	}
	k8sContainer struct {
		Name      string       `yaml:"name"`
		Image     string       `yaml:"image"`
		Args      []string     `yaml:"args"`
		Resources k8sResources `yaml:"resources"`
		Mounts    []k8sMount   `yaml:"volumeMounts"`
	}
	k8sResources struct {
		Requests map[string]string `yaml:"requests"`
	}
	k8sMount struct {
		Name      string `yaml:"name"`
		MountPath string `yaml:"mountPath"`
		ReadOnly  bool   `yaml:"readOnly"`
	}
	k8sVolume struct {
		Name      string       `yaml:"name"`
		ConfigMap k8sReference `yaml:"configMap"`
	}
	k8sReference struct {
		Name string `yaml:"name"`
	}
)

// maxConfigMap is what Kubernetes takes as one, in bytes.
const maxConfigMap = 1 << 20

// k8s is bench k8s: an Indexed Job whose pods are the shards of a scenario.
func (o *benchOptions) k8s(s *Stdio, rest []string) error {
	if len(rest) != 1 {
		return &usageError{text: "mqt bench k8s needs one file", hint: "as in mqt bench k8s telemetry.yaml --workers 8 | kubectl apply -f -"}
	}
	b, err := readFile("mqt bench k8s", rest[0])
	if err != nil {
		return err
	}
	f, err := readBenchFile(b, o.set)
	if err != nil {
		return &usageError{text: rest[0] + ": " + strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n  ", " "), "yaml: ")}
	}
	if len(b) > maxConfigMap {
		return &usageError{text: rest[0] + " is too large for a ConfigMap"}
	}
	if f.Broker.URL == "" && !o.namedHere() {
		return &usageError{text: rest[0] + " names no broker", hint: "write broker: { url: ... } into it, for the pods"}
	}
	run := o.runID
	if run == "" {
		run = fmt.Sprintf("%08x", rand.Uint32()) //nolint:gosec // no secret
	}
	objects := o.k8sObjects(f.Name, run, string(b))
	if o.namedHere() {
		c, err := o.client(s)
		if err != nil {
			return err
		}
		args := &objects.job.Spec.Template.Spec.Containers[0].Args
		*args = append(*args, "-L", c.Endpoint.String())
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, k8sHead, objects.job.Metadata.Name, objects.job.Spec.Completions-1)
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(objects.config); err != nil {
		return err
	}
	if err := e.Encode(objects.job); err != nil {
		return err
	}
	if err := e.Close(); err != nil {
		return err
	}
	_, err = s.Out.Write(out.Bytes())
	return err
}

// k8sHead says what to do with it.
const k8sHead = `# kubectl apply -f this; then
#   name=%[1]s
#   until kubectl get "job/$name" -o jsonpath='{.status.conditions[*].type}' | grep -Eq 'Complete|Failed'; do sleep 5; done
#   for i in $(seq 0 %[2]d); do kubectl logs -l "job-name=$name,batch.kubernetes.io/job-completion-index=$i" --tail=-1 >"shard-$i.json"; done
#   mqt bench merge shard-*.json -o html=result.html
# With --start-at all pods begin at the same time: choose one at which all of them run.
`

type k8sObjects struct {
	config k8sConfigMap
	job    k8sJob
}

// k8sObjects are the Job, and the scenario in a ConfigMap.
func (o *benchOptions) k8sObjects(scenario, run, file string) k8sObjects {
	workers, image := o.workers, o.image
	if workers == 0 {
		workers = 4
	}
	if image == "" {
		image = "mqt:latest"
	}
	name := k8sName("mqt-bench-"+scenario, run)
	labels := map[string]string{"app.kubernetes.io/name": "mqt-bench", "app.kubernetes.io/instance": name}
	args := []string{"bench", "run", "/scenario/scenario.yaml", "--shard", fmt.Sprintf("$(JOB_COMPLETION_INDEX)/%d", workers), "--run-id", run, "--json", "--quiet"}
	for _, change := range o.set {
		args = append(args, "--set", change)
	}
	if !o.startAt.IsZero() {
		args = append(args, "--start-at", o.startAt.UTC().Format(time.RFC3339))
	}
	return k8sObjects{
		config: k8sConfigMap{APIVersion: "v1", Kind: "ConfigMap", Metadata: k8sMeta{Name: name, Labels: labels}, Data: map[string]string{"scenario.yaml": file}},
		job: k8sJob{
			APIVersion: "batch/v1", Kind: "Job", Metadata: k8sMeta{Name: name, Labels: labels},
			Spec: k8sJobSpec{
				// A shard that was started again would make another load of it.
				CompletionMode: "Indexed", Completions: workers, Parallelism: workers, BackoffLimitPerIndex: 0,
				Template: k8sTemplate{
					Metadata: k8sMeta{Labels: labels},
					Spec: k8sPodSpec{
						RestartPolicy: "Never",
						Spread: []k8sSpread{{MaxSkew: 1, TopologyKey: "kubernetes.io/hostname", WhenUnsatisfiable: "ScheduleAnyway",
							LabelSelector: k8sSelector{MatchLabels: labels}}},
						Containers: []k8sContainer{{
							Name: "bench", Image: image, Args: args, Resources: k8sResources{Requests: map[string]string{"cpu": "1", "memory": "512Mi"}},
							Mounts: []k8sMount{{Name: "scenario", MountPath: "/scenario", ReadOnly: true}},
						}},
						Volumes: []k8sVolume{{Name: "scenario", ConfigMap: k8sReference{Name: name}}},
					},
				},
			},
		},
	}
}

// k8sName is a name that Kubernetes takes: that of a pod ends with the index,
// and all of it is a DNS label.
func k8sName(name, run string) string {
	const most = 50
	clean := func(s string) string {
		return strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(s), "-"), "-")
	}
	run = clean(run)
	name = clean(name)
	return strings.Trim(name[:min(len(name), most-len(run)-1)], "-") + "-" + run
}
