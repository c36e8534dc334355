// What a classic dashboard file may hold, by the types of Grafana's own panels. Everything that is
// not named there is a mistake: ts-json-schema-generator forbids further properties.
import type {
  AnnotationQuery, Dashboard, DataSourceRef, FieldConfig, FieldConfigSource, Panel, RowPanel,
} from './node_modules/@grafana/schema/dist/esm/raw/dashboard/x/dashboard_types.gen';
import type * as BarGauge from './node_modules/@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as Heatmap from './node_modules/@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as Stat from './node_modules/@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as StateTimeline from './node_modules/@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as Table from './node_modules/@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as TimeSeries from './node_modules/@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type { DataQuery } from './node_modules/@grafana/schema/dist/esm/common/common.gen';

// Not in the package for this line of Grafana: it belongs to the data source's plugin.
interface PrometheusDataQuery extends DataQuery {
  datasource?: DataSourceRef;
  expr: string;
  exemplar?: boolean;
  format?: 'time_series' | 'table' | 'heatmap';
  instant?: boolean;
  interval?: string;
  legendFormat?: string;
  range?: boolean;
}
type Source<Custom> = Omit<FieldConfigSource, 'defaults'> & {
  defaults: Omit<FieldConfig, 'custom'> & { custom?: Partial<Custom> };
};
type Of<Type extends string, Options, Custom> =
  Omit<Panel, 'type' | 'options' | 'fieldConfig' | 'targets'> & {
    type: Type;
    options?: Partial<Options>;
    fieldConfig?: Source<Custom>;
    targets?: PrometheusDataQuery[];
  };
type Nothing = Record<string, never>;
type AnyPanel =
  | Of<'bargauge', BarGauge.Options, Nothing>
  | Of<'heatmap', Heatmap.Options, Heatmap.FieldConfig>
  | Of<'stat', Stat.Options, Nothing>
  | Of<'state-timeline', StateTimeline.Options, StateTimeline.FieldConfig>
  | Of<'table', Table.Options, Table.FieldConfig>
  | Of<'timeseries', TimeSeries.Options, TimeSeries.FieldConfig>;
// Of a Prometheus data source; Grafana's own type leaves these out.
interface PrometheusAnnotation extends AnnotationQuery {
  expr: string; step?: string; titleFormat?: string; textFormat?: string; tagKeys?: string; useValueForTime?: boolean;
}
export interface Classic extends Omit<Dashboard, 'panels' | 'annotations'> {
  panels: Array<AnyPanel | RowPanel>;
  annotations: { list: PrometheusAnnotation[] };
}
