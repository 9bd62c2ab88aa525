// metrics-adapter serves the custom metrics API from Prometheus, with a rules file of prometheus-adapter.
//
// It is a stand-in for prometheus-adapter, whose module no registry publishes. It is built on the same library and supports
// the part of the configuration that metrics of pods need (seriesQuery, resources, name, metricsQuery). A NaN sample counts
// as zero, as in prometheus-adapter.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/template"
	"time"

	"github.com/spf13/pflag"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	genericserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	basecmd "sigs.k8s.io/custom-metrics-apiserver/pkg/cmd"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
	"sigs.k8s.io/yaml"
)

// rule is one rule of prometheus-adapter's configuration.
type rule struct {
	SeriesQuery  string `json:"seriesQuery"`
	MetricsQuery string `json:"metricsQuery"`
	Name         struct {
		Matches string `json:"matches"`
		As      string `json:"as"`
	} `json:"name"`
	Resources struct {
		Template  string `json:"template"`
		Overrides map[string]struct {
			Group    string `json:"group"`
			Resource string `json:"resource"`
		} `json:"overrides"`
	} `json:"resources"`
}

// label returns the label that holds a resource's name. An override may name the resource in singular or plural.
func (r rule) label(resource string) (string, error) {
	for label, override := range r.Resources.Overrides {
		if override.Group == "" && strings.TrimSuffix(override.Resource, "s") == resource {
			return label, nil
		}
	}
	if r.Resources.Template == "" {
		return "", fmt.Errorf("rule for %s: resources names no label for %s", r.SeriesQuery, resource)
	}
	return expand("resources.template", r.Resources.Template, map[string]string{"Group": "", "Resource": resource})
}

// expand executes one of the configuration's templates.
func expand(name, text string, values map[string]string) (string, error) {
	parsed, err := template.New(name).Delims("<<", ">>").Parse(text)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = parsed.Execute(&out, values)
	return out.String(), err
}

// check validates a rule before it is used.
func (r rule) check() error {
	if _, err := r.metric(""); err != nil {
		return err
	}
	_, err := r.query("series", "namespace", []string{"pod"})
	return err
}

// metric returns the served name of a series. As in prometheus-adapter, name.as defaults to the only group, or to the whole
// match.
func (r rule) metric(series string) (string, error) {
	if r.Name.Matches == "" && r.Name.As == "" {
		return series, nil
	}
	matches, err := regexp.Compile(cmp.Or(r.Name.Matches, ".*"))
	if err != nil {
		return "", fmt.Errorf("rule for %s: name.matches: %w", r.SeriesQuery, err)
	}
	as := r.Name.As
	if as == "" {
		switch matches.NumSubexp() {
		case 0:
			as = "$0"
		case 1:
			as = "$1"
		default:
			return "", fmt.Errorf("rule for %s: name.as must name a group of name.matches", r.SeriesQuery)
		}
	}
	return matches.ReplaceAllString(series, as), nil
}

// query returns metricsQuery for pods of a namespace, grouped by pod.
func (r rule) query(series, namespace string, pods []string) (string, error) {
	namespaceLabel, err := r.label("namespace")
	if err != nil {
		return "", err
	}
	podLabel, err := r.label("pod")
	if err != nil {
		return "", err
	}
	quoted := make([]string, len(pods))
	for i, pod := range pods {
		quoted[i] = regexp.QuoteMeta(pod)
	}
	return expand("metricsQuery", r.MetricsQuery, map[string]string{
		"Series":        series,
		"LabelMatchers": fmt.Sprintf("%s=%q,%s=~%q", namespaceLabel, namespace, podLabel, strings.Join(quoted, "|")),
		"GroupBy":       podLabel,
	})
}

// served is a metric that Prometheus has series for.
type served struct {
	rule   rule
	series string
}

// adapter answers requests with values from Prometheus.
type adapter struct {
	client     kubernetes.Interface
	prometheus string
	rules      []rule
	age        time.Duration
	mutex      sync.RWMutex
	metrics    map[string]served
}

var pods = schema.GroupResource{Resource: "pods"}

// relist updates the list of available series.
func (a *adapter) relist(ctx context.Context) error {
	metrics := map[string]served{}
	for _, rule := range a.rules {
		var series []map[string]string
		recent := fmt.Sprint(time.Now().Add(-a.age).Unix())
		if err := a.get(ctx, "series", url.Values{"match[]": {rule.SeriesQuery}, "start": {recent}}, &series); err != nil {
			return err
		}
		for _, one := range series {
			name, err := rule.metric(one["__name__"])
			if err != nil {
				return err
			}
			metrics[name] = served{rule: rule, series: one["__name__"]}
		}
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.metrics = metrics
	return nil
}

// The timeout keeps a Prometheus that does not answer from blocking the autoscaler.
var prometheusClient = &http.Client{Timeout: 10 * time.Second}

// get requests an endpoint of Prometheus' API and decodes its data.
func (a *adapter) get(ctx context.Context, endpoint string, values url.Values, data any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.prometheus+"/api/v1/"+endpoint+"?"+values.Encode(), nil)
	if err != nil {
		return err
	}
	answer, err := prometheusClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("prometheus answers %s: %s", answer.Status, body)
	}
	return json.Unmarshal(body, &struct {
		Data any `json:"data"`
	}{Data: data})
}

// ListAllMetrics returns the metrics for discovery.
func (a *adapter) ListAllMetrics() []provider.CustomMetricInfo {
	a.mutex.RLock()
	defer a.mutex.RUnlock()
	var all []provider.CustomMetricInfo
	for _, name := range slices.Sorted(maps.Keys(a.metrics)) {
		all = append(all, provider.CustomMetricInfo{GroupResource: pods, Namespaced: true, Metric: name})
	}
	return all
}

// GetMetricByName returns the metric of one pod.
func (a *adapter) GetMetricByName(ctx context.Context, name types.NamespacedName, info provider.CustomMetricInfo, _ labels.Selector) (*custom_metrics.MetricValue, error) {
	values, err := a.values(ctx, name.Namespace, []string{name.Name}, info)
	if err != nil {
		return nil, err
	}
	if len(values) == 0 {
		return nil, provider.NewMetricNotFoundForError(info.GroupResource, info.Metric, name.Name)
	}
	return &values[0], nil
}

// GetMetricBySelector returns the metric of all pods that match a selector.
func (a *adapter) GetMetricBySelector(ctx context.Context, namespace string, selector labels.Selector, info provider.CustomMetricInfo, _ labels.Selector) (*custom_metrics.MetricValueList, error) {
	list, err := a.client.CoreV1().Pods(namespace).List(ctx, meta.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list.Items))
	for i, pod := range list.Items {
		names[i] = pod.Name
	}
	values, err := a.values(ctx, namespace, names, info)
	if err != nil {
		return nil, err
	}
	return &custom_metrics.MetricValueList{Items: values}, nil
}

func (a *adapter) values(ctx context.Context, namespace string, names []string, info provider.CustomMetricInfo) ([]custom_metrics.MetricValue, error) {
	a.mutex.RLock()
	metric, known := a.metrics[info.Metric]
	a.mutex.RUnlock()
	if !known || info.GroupResource.Resource != pods.Resource {
		return nil, provider.NewMetricNotFoundError(info.GroupResource, info.Metric)
	}
	if len(names) == 0 {
		return nil, nil
	}
	query, err := metric.rule.query(metric.series, namespace, names)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	var found struct {
		Result []struct {
			Metric map[string]string `json:"metric"`
			Value  [2]any            `json:"value"`
		} `json:"result"`
	}
	if err := a.get(ctx, "query", url.Values{"query": {query}}, &found); err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	podLabel, err := metric.rule.label("pod")
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	var values []custom_metrics.MetricValue
	for _, sample := range found.Result {
		pod := sample.Metric[podLabel]
		if !slices.Contains(names, pod) {
			continue
		}
		number, err := strconv.ParseFloat(fmt.Sprint(sample.Value[1]), 64)
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		if math.IsNaN(number) {
			number = 0
		}
		values = append(values, custom_metrics.MetricValue{
			DescribedObject: custom_metrics.ObjectReference{Kind: "Pod", APIVersion: core.SchemeGroupVersion.String(), Namespace: namespace, Name: pod},
			Metric:          custom_metrics.MetricIdentifier{Name: info.Metric},
			Timestamp:       meta.Now(),
			Value:           *resource.NewMilliQuantity(int64(number*1000), resource.DecimalSI),
		})
	}
	return values, nil
}

const about = `metrics-adapter serves the custom metrics API with a rules file of prometheus-adapter. It is a stand-in for
prometheus-adapter, whose module no registry publishes, and is built on the same library.

`

func main() {
	if err := run(genericserver.SetupSignalContext()); err != nil {
		klog.ErrorS(err, "metrics-adapter failed")
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	flags := pflag.NewFlagSet("metrics-adapter", pflag.ContinueOnError)
	command := &basecmd.AdapterBase{Name: "metrics-adapter", FlagSet: flags}
	command.InstallFlags()
	prometheus := flags.String("prometheus-url", "", "URL of Prometheus")
	config := flags.String("config", "", "a rules file of prometheus-adapter")
	age := flags.Duration("metrics-max-age", 0, "maximum age of series (default: the relist interval)")
	flags.Usage = func() { fmt.Fprint(os.Stderr, about, flags.FlagUsages()) }
	interval := flags.Duration("metrics-relist-interval", 10*time.Minute, "interval between searches for new metrics")
	if err := flags.Parse(os.Args[1:]); errors.Is(err, pflag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	text, err := os.ReadFile(*config)
	if err != nil {
		return err
	}
	var rules struct {
		Rules []rule `json:"rules"`
	}
	if err := yaml.UnmarshalStrict(text, &rules); err != nil {
		return fmt.Errorf("read %s: %w", *config, err)
	}
	for _, rule := range rules.Rules {
		if err := rule.check(); err != nil {
			return fmt.Errorf("read %s: %w", *config, err)
		}
	}
	client, err := command.ClientConfig()
	if err != nil {
		return err
	}
	set, err := kubernetes.NewForConfig(client)
	if err != nil {
		return err
	}
	adapter := &adapter{client: set, prometheus: strings.TrimSuffix(*prometheus, "/"), rules: rules.Rules, age: cmp.Or(*age, *interval)}
	go func() {
		for {
			if err := adapter.relist(ctx); err != nil {
				klog.ErrorS(err, "relist")
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(*interval):
			}
		}
	}()
	command.WithCustomMetrics(adapter)
	return command.Run(ctx)
}
