/**
 * The pages of a mini program: what they were defined as, and the stack of those that are open.
 *
 * - a page loads, shows, hides and unloads in the order of a device (test: pages live as on a device);
 * - one that was defined by `Component` is attached before it loads and detached after it unloads
 *   (test: a page made by Component).
 */

/** One open page, or the application itself: what was given to `Page` or `App`, with data of its own. */
export interface Instance {
  route: string;
  data: Record<string, any>;
  setData(changes: Record<string, unknown>, then?: () => void): void;
  [name: string]: any;
}

type Hooks = Record<string, unknown>;

/** What `Component` was given. */
interface ComponentOptions {
  data?: object;
  methods?: Hooks;
  properties?: Record<string, unknown>;
  lifetimes?: Hooks;
  pageLifetimes?: Hooks;
  [name: string]: unknown;
}

/** All pages of one host. `run` calls the application's code. */
export class Pages {
  application: Instance | null = null;
  readonly stack: Instance[] = [];
  /** The path of the script that is being run: what it defines is this page. */
  loading = "";
  private readonly _defined = new Map<string, object>();

  constructor(private readonly _run: (call: () => void) => void) {}

  /** The page on top. */
  get current(): Instance | null {
    return this.stack[this.stack.length - 1] ?? null;
  }

  /** What `App` was given. */
  app(options: object): void {
    this.application = instance(options, "");
  }

  /** The application begins. */
  launch(): void {
    this.call(this.application, "onLaunch", { path: "", query: {} });
  }

  /** What `Page` was given. */
  define(options: object): void {
    this._defined.set(this.loading, options);
  }

  /** What `Component` was given, as the definition of a page. */
  defineComponent(options: ComponentOptions): void {
    this.define(asPage(options));
  }

  /** Whether the script of a page was run. */
  knows(path: string): boolean {
    return this._defined.has(path);
  }

  /** Open a page on top. */
  open(path: string, query: Record<string, string>): Instance {
    this.hide();
    const page = instance(this._defined.get(path) ?? {}, path);
    this.stack.push(page);
    this.call(page, "created");
    this.call(page, "attached");
    this.call(page, "onLoad", query);
    this.show();
    this.call(page, "ready");
    this.call(page, "onReady");
    return page;
  }

  /** Close the page on top. */
  back(): void {
    this._unload(this.stack.pop() ?? null);
    this.show();
  }

  /** Close all of them. */
  clear(): void {
    while (this.stack.length) this._unload(this.stack.pop()!);
  }

  /** The page on top is seen again. */
  show(): void {
    this.call(this.current, "onShow");
    this.call(this.current, "pageShow");
  }

  /** It is seen no more. */
  hide(): void {
    this.call(this.current, "onHide");
    this.call(this.current, "pageHide");
  }

  /** Call a function of a page, if it has it. */
  call(page: Instance | null, name: string, ...details: unknown[]): void {
    if (typeof page?.[name] === "function") this._run(() => page[name](...details));
  }

  private _unload(page: Instance | null): void {
    this.call(page, "onUnload");
    this.call(page, "detached");
  }
}

/** The functions of a component in one object, under the names by which pages call them. */
function asPage(options: ComponentOptions): object {
  const { methods = {}, lifetimes = {}, pageLifetimes: shown = {}, properties = {} } = options;
  const values = Object.fromEntries(
    Object.entries(properties).map(([name, type]) => [name, (type as { value?: unknown } | null)?.value ?? null]),
  );
  return {
    ...options,
    ...methods,
    ...lifetimes,
    pageShow: shown["show"],
    pageHide: shown["hide"],
    data: { ...values, ...options.data },
    properties: values,
  };
}

function instance(options: object, route: string): Instance {
  const { data = {} } = options as { data?: object };
  const made: Instance = {
    ...options,
    route,
    is: route,
    data: JSON.parse(JSON.stringify(data)),
    setData(changes, then) {
      for (const path of Object.keys(changes)) put(made.data, path, changes[path]);
      then?.call(made);
    },
    triggerEvent() {},
    selectComponent: () => null,
    selectAllComponents: () => [],
  };
  return made;
}

/** Put a value at a path such as `rows[0].name`. */
function put(data: Record<string, any>, path: string, value: unknown): void {
  const keys = path.match(/[^.[\]]+/g) ?? [];
  let place = data;
  for (const key of keys.slice(0, -1)) place = place[key] ??= {};
  place[keys[keys.length - 1]!] = value;
}
