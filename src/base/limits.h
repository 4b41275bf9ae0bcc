// SPDX-License-Identifier: Apache-2.0
/*
 * Every limit of the project. Going over one is an error that carries its name, counted and logged,
 * never a crash and never silent (DESIGN section 4, contract 4).
 */
#pragma once

enum {
    // GPUs and nodes
    LIMIT_NODES = 20000,               // agents' addresses
    LIMIT_GPU_ENTITIES_PER_NODE = 256, // GPUs and MIG instances together
    LIMIT_OWNERS_PER_GPU = 64,         // time-sliced replicas
    LIMIT_PODRES_HOLDERS = 16384,      // GPUs in use, replicas apart, that one kubelet lists
    LIMIT_CLAIMED_DEVICES = 1024,      // of GPU drivers that a node's containers claim
    LIMIT_NVML_PROCESSES = 4096,       // of one GPU: more are not counted
    LIMIT_NVML_SAMPLES = 65536,        // of their activity, taken at once
    LIMIT_NVML_EVENTS_PER_ROUND = 256, // XIDs taken from NVML at once
    LIMIT_SIM_LOAD_BYTES = 4096,       // one datagram that tells load
    LIMIT_SIM_LOAD_DATAGRAMS = 256,    // taken in one call
    LIMIT_SIM_LOAD_PROCESSES = 256,    // of all GPUs, that load tells
    LIMIT_AGENT_TARGETS = 1024,        // configured HOST:PORT entries
    LIMIT_EXPORTER_TARGETS = 1024,     // configured HOST:PORT entries and URLs
    LIMIT_AGENT_CONNECTING = 512,      // connections being made at once
    LIMIT_AGENT_MESSAGES_PER_S = 50,   // of one stream, in the long run (an agent sends 10 at most)
    LIMIT_AGENT_MESSAGES_BURST = 1000, // what waited while we stood still

    // Text pages and files
    LIMIT_METRICS_PAGE_BYTES = 16 << 20, // a scraped page
    LIMIT_METRICS_LINE_BYTES = 1 << 20,  // one line of it
    LIMIT_METRICS_SERIES = 200000,       // samples read from one page
    LIMIT_METRICS_LABELS = 64,           // labels of one series
    LIMIT_PAGE_SERIES = 4096,            // series of interest on one engine's or demand's page
    LIMIT_ENGINE_BUCKETS = 64,           // edges of one histogram, +Inf among them
    LIMIT_EXPORTER_NAME_BYTES = 4 << 20, // names of GPUs and their holders on one exporter's page
    LIMIT_CONFIG_BYTES = 4 << 20,
    LIMIT_CONFIG_DEPTH = 32, // lists and maps inside each other
    LIMIT_CONFIG_KEY_BYTES = 256,
    LIMIT_CONFIG_TREE_BYTES = 64 << 20, // its values in memory, while it is read
    LIMIT_REPLAY_BYTES = 64 << 20,

    // Kubernetes objects, and cases for `gpuscale hpa`
    LIMIT_CASE_BYTES = 32 << 20,       // one case, or one list as kubectl prints it
    LIMIT_CASE_KEY_BYTES = 1024,       // annotations' names have 317 at most
    LIMIT_CASE_TREE_BYTES = 512 << 20, // its values in memory
    LIMIT_CASE_SERIES = 65536,         // of an external metric
    LIMIT_CASE_POD_VALUES = 8192,      // PodMetrics; pods that one metric has values of
    LIMIT_CASE_METRICS = 1024,         // names that have values
    LIMIT_CASE_MANIFESTS = 65536,      // objects of the files of one run
    LIMIT_ANSWER_BYTES = 64 << 20,     // about one case
    LIMIT_QUANTITY_DIGITS = 64,
    LIMIT_QUANTITY_EXPONENT = 400,

    // HTTP/1.1
    LIMIT_HTTP_HEAD_BYTES = 16 << 10,
    LIMIT_HTTP_ANSWER_HEAD_BYTES = 20 << 10, // one that is passed on, and what this hop adds
    LIMIT_HTTP_HEADERS = 64,
    LIMIT_HTTP_TARGET_BYTES = 8 << 10, // the request line's target: 414
    LIMIT_HTTP_CHUNK_LINE_BYTES = 256, // a chunk's size and extensions
    LIMIT_HTTP_TRAILER_BYTES = 4 << 10,
    LIMIT_HTTP_INTERIM = 16, // 1xx before an answer
    LIMIT_HTTP_BODY_BYTES = 1 << 20,
    LIMIT_HTTP_CONNECTIONS = 512, // a listener; more are closed at accept
    LIMIT_HTTP_HEAD_MS = 10000,   // from the first byte (or accept) to the end of the head
    LIMIT_HTTP_BODY_MS = 30000,   // from the end of the head to the end of the body
    LIMIT_HTTP_IDLE_MS = 75000,
    LIMIT_HTTP_WRITE_STALL_MS = 30000,        // in so long a waiting peer must take
    LIMIT_HTTP_WRITE_STALL_BYTES = 4096,      // so much, or all there is
    LIMIT_HTTP_OUTPUT_HIGH_BYTES = 256 << 10, // unsent answers: further pipelined requests wait
    LIMIT_HTTP_PIECE_BYTES = 1 << 20,         // of an answer in pieces

    // Streams (TCP and unix sockets, TLS)
    LIMIT_STREAM_WRITE_BYTES = 8 << 20, // unsent bytes of a connection: then it is closed
    LIMIT_STREAM_BATCH_BYTES =
        32 << 10, // so much is sent at once, less at the end of the loop turn
    LIMIT_STREAM_SPARE_BYTES = 256 << 10, // memory for output that a loop keeps
    LIMIT_STREAM_CLOSE_MS = 2000,         // an orderly close, then a hard one
    LIMIT_STREAM_READS_PER_TURN = 4,      // of 64 KiB, a connection: others want their turn
    LIMIT_TCP_BACKLOG = 4096,
    LIMIT_TCP_ACCEPTS_PER_TURN = 64,
    LIMIT_TCP_KEEPALIVE_IDLE_S = 60,   // a silent peer is probed after so long,
    LIMIT_TCP_KEEPALIVE_EVERY_S = 15,  // so often,
    LIMIT_TCP_KEEPALIVE_PROBES = 4,    // so many times
    LIMIT_TCP_USER_TIMEOUT_MS = 60000, // sent and not acknowledged for so long: it is gone

    // HTTP client
    LIMIT_URL_BYTES = 2048,
    LIMIT_FETCH_CONNECTIONS = 8192,     // kept open, idle ones included
    LIMIT_FETCH_LIFE_S = 600,           // then a kept connection is not used again
    LIMIT_FETCH_ERROR_BYTES = 16 << 10, // body of an answer that is not 200
    LIMIT_TLS_FILE_BYTES = 1 << 20,
    LIMIT_SECRET_BYTES = 16 << 10,      // a token or a password in a file
    LIMIT_CERT_NAME_BYTES = 256,        // of a certificate, for people
    LIMIT_CERT_NAMES = 64,              // of one certificate that are kept
    LIMIT_PROM_ANSWER_BYTES = 64 << 10, // of a query: one sample is wanted
    LIMIT_PROMETHEUS_SERVERS = 64,
    LIMIT_SCRAPE_TARGETS = 20000,
    LIMIT_DEMAND_SOURCES = 1024,

    // Kubernetes API
    LIMIT_KUBE_OBJECT_BYTES = 4 << 20,     // one object of a list or a watch, as JSON
    LIMIT_KUBE_DEPTH = 512,                // values inside each other
    LIMIT_KUBE_KEPT_BYTES = 64 << 10,      // what is kept of one object
    LIMIT_KUBE_OBJECTS = 65536,            // that one reflector keeps
    LIMIT_KUBE_LIST_REST_BYTES = 64 << 10, // a list without its items
    LIMIT_KUBE_LIST_BYTES = 1 << 30,       // one page of a list, passed through
    LIMIT_KUBE_ANSWER_BYTES = 4 << 20,     // any other answer
    LIMIT_KUBE_CONTINUE_BYTES = 1500,      // the token for a list's next page
    LIMIT_KUBE_RETRY_AFTER_MS = 300000,    // a server's longer Retry-After is this
    LIMIT_KUBE_EXEC_BYTES = 64 << 10,      // what a credential plugin prints
    LIMIT_KUBE_EXEC_MS = 60000,            // how long it may take

    // HTTP/2 and gRPC
    LIMIT_GRPC_MESSAGE_BYTES = 4 << 20,  // received by a client
    LIMIT_GRPC_REQUEST_BYTES = 64 << 10, // received by a server
    LIMIT_GRPC_UNPACK_FACTOR = 16,       // unpacked size / message size
    LIMIT_GRPC_UNPACK_BASE_BYTES = 4096, // added to that: a message of 0 bytes unpacks to a struct
    LIMIT_GRPC_UNPACK_DEPTH = 16,        // messages inside messages
    // Requests of one connection (of one server) that wait or run, packed and unpacked.
    LIMIT_GRPC_CONN_REQUEST_BYTES = 32 << 20,
    LIMIT_GRPC_SERVER_REQUEST_BYTES = 256 << 20,
    LIMIT_GRPC_CONN_RESPONSE_BYTES = 32 << 20, // unfinished messages that a client gathers
    LIMIT_GRPC_CONN_SEND_BYTES = 64 << 20,     // unsent message bytes of one connection's streams
    LIMIT_GRPC_STATUS_MESSAGE_BYTES = 1024,
    LIMIT_GRPC_PATH_BYTES = 256, // "/package.Service/Method"
    // Concurrent, a connection. KEDA has one connection to a scaler, and two streams on it for each
    // external-push trigger; grpc-go lets every further call wait without end.
    LIMIT_GRPC_STREAMS = 65536,
    LIMIT_GRPC_HEADER_BYTES = 8 << 10,
    LIMIT_GRPC_SEND_QUEUE_BYTES = 1 << 20, // unsent bytes of one stream
    LIMIT_GRPC_CONNECTIONS = 12000,
    LIMIT_GRPC_AGENT_CONNECTIONS = 64,
    LIMIT_AGENT_STREAMS = 256,                // Watch streams of one agent
    LIMIT_GRPC_HANDSHAKE_MS = 10000,          // accept to the end of TLS and the HTTP/2 preface
    LIMIT_GRPC_IDLE_MS = 900000,              // no stream open: GOAWAY
    LIMIT_GRPC_KEEPALIVE_MS = 60000,          // nothing read or written for so long: a PING,
    LIMIT_GRPC_KEEPALIVE_TIMEOUT_MS = 20000,  // and cuts the connection when nothing comes
    LIMIT_GRPC_OUTPUT_HIGH_BYTES = 256 << 10, // unwritten bytes of a connection: reading pauses
    LIMIT_GRPC_DRAIN_MS = 30000,              // from the last GOAWAY to the end of the last call
    // Frames that cost work and carry none (PING, SETTINGS, RST_STREAM, ...), a connection: a
    // bucket of so many, refilled a second by so many; useful frames refill it too.
    LIMIT_GRPC_CONTROL_BURST = 1000,
    LIMIT_GRPC_CONTROL_RATE = 100,
    LIMIT_GRPC_RESET_BURST = 2000, // RST_STREAM by the peer: bucket,
    LIMIT_GRPC_RESET_RATE = 200,   // and refill a second (rapid reset)
    LIMIT_GRPC_CONTINUATIONS = 8,
    LIMIT_GRPC_SETTINGS_ENTRIES = 32,
    LIMIT_GRPC_OUTBOUND_ACKS = 1000, // PING and SETTINGS acknowledgements that wait

    // Playground
    LIMIT_GATEWAY_CONNECTIONS = 4096,       // of clients
    LIMIT_GATEWAY_HELD = 1024,              // requests that wait for a replica
    LIMIT_GATEWAY_REPLICAS = 64,            // that one gateway chooses among
    LIMIT_GATEWAY_ATTEMPTS = 3,             // replicas that one request is sent to
    LIMIT_GATEWAY_ANSWER_BYTES = 256 << 10, // an answer up to this is passed on only when whole
    LIMIT_GATEWAY_FIELDS_BYTES = 32 << 10,  // of one head, on its way
    LIMIT_UPSTREAM_CONNECTIONS = 448,       // to one replica, idle ones included

    // Policy
    LIMIT_METADATA_KEYS = 64,
    LIMIT_METADATA_VALUE_BYTES = 4096,
    LIMIT_TRIGGER_QUERIES = 4,     // Prometheus queries of one trigger
    LIMIT_PROMQL_BYTES = 16 << 10, // a query as it is sent, its enforced matchers added
    LIMIT_PROMQL_DEPTH = 64,       // parentheses, calls and aggregations inside each other
    LIMIT_EXPRESSION_NODES = 256,
    LIMIT_EXPRESSION_DEPTH = 32,
    LIMIT_KEDA_TRIGGERS = 32,    // of one ScaledObject
    LIMIT_FORMULA_BYTES = 16384, // of scalingModifiers
    LIMIT_FORMULA_NODES = 512,
    LIMIT_FORMULA_DEPTH = 64,
    LIMIT_HPA_METRICS = 64,           // of one HPA
    LIMIT_HPA_RECOMMENDATIONS = 1024, // remembered of one HPA,
    LIMIT_HPA_SCALE_EVENTS = 512,     // and in each direction
    LIMIT_PODS_PER_WORKLOAD = 4096,
    LIMIT_WORKLOADS = 20000,
    LIMIT_RECORDS_PER_WORKLOAD = 64, // decisions kept in memory
    LIMIT_REPLICAS = 1000000,        // a decision is never larger

    // Service stations
    LIMIT_STATION_QUEUE = 1 << 20,     // requests that wait
    LIMIT_STATION_SEQUENCES = 4096,    // that one engine decodes at a time
    LIMIT_STATION_BATCH = 4096,        // requests of one batch
    LIMIT_STATION_INSTANCES = 1024,    // batches at a time
    LIMIT_STATION_TOKENS = 1000000000, // of the KV memory, of an iteration
    LIMIT_STATION_STEP_S = 1000,       // an iteration, a batch

    // Mock engine
    LIMIT_ENGINE_CONNECTIONS = 4096, // and with them requests
    LIMIT_ENGINE_GPUS = 16,          // of one replica

    // Traces of requests
    LIMIT_TRACE_LINE_BYTES = 1 << 20,
    LIMIT_TRACE_ROWS = 8 << 20,
    LIMIT_TRACE_TOKENS = 10000000, // of one prompt, of one answer

    // load
    LIMIT_LOAD_PIECES = 256,         // of a shape
    LIMIT_LOAD_RATE = 10000000,      // requests a second
    LIMIT_LOAD_SECONDS = 7 * 86400,  // a run
    LIMIT_LOAD_CONNECTIONS = 16384,  // requests in flight, too: one each
    LIMIT_LOAD_BODY_BYTES = 8 << 20, // of a request
    LIMIT_LOAD_ROWS = 2400,          // of the course over time
    LIMIT_LOAD_RESULT_BYTES = 64 << 20,
    LIMIT_LOAD_ADDRESSES = 16, // of the target's name

    // Log: a line fits a pipe whole (PIPE_BUF)
    LIMIT_LOG_LINE_BYTES = 4096,
    LIMIT_LOG_VALUE_BYTES = 1024,

    // Scaler
    LIMIT_CONFIG_ARENA_BYTES = 32 << 20,   // what a program's configuration is bound into
    LIMIT_SCALED_OBJECTS = 20000,          // triggers answered by one scaler
    LIMIT_INVALID_OBJECTS = 1024,          // triggers whose metadata does not bind, remembered
    LIMIT_METADATA_TOTAL_BYTES = 64 << 20, // metadata of all triggers
    LIMIT_OBJECT_IDLE_MS = 15 * 60 * 1000, // not called, no streams: forgotten
    LIMIT_DECISION_AGE_MS = 30000,         // older decisions are not served (save at zero)
    LIMIT_LEARNED_BYTES = 16 << 10,        // what a leader tells of one object beside its decision
    LIMIT_ENGINE_TARGETS = 65536,          // pods whose pages one scaler reads
    LIMIT_HISTORY_BYTES = 48 << 20,        // decision records of all objects, about
    LIMIT_FIRST_DECISION_MS = 250,         // a first call waits so long for the io thread

    // Who may read the HTTP ports
    LIMIT_ACCESS_REVIEWS = 4096,        // answers about tokens and rights that are remembered
    LIMIT_ACCESS_ASKING = 64,           // reviews that run at once,
    LIMIT_ACCESS_WAITING = 4096,        // and who waits for them
    LIMIT_ACCESS_USER_BYTES = 32 << 10, // name, groups and all of one user
    LIMIT_ACCESS_NAMESPACES = 1024,     // that one request asks about
    LIMIT_ACCESS_VIEWS = 8,             // pages' feeds of different namespaces at once
    LIMIT_WEB_CONFIG_USERS = 256,
    LIMIT_PASSWORD_BYTES = 1024,  // longer ones are refused unread; bcrypt looks at 72
    LIMIT_PASSWORDS_WAITING = 64, // to be checked; one is at a time
    LIMIT_PASSWORDS_KEPT = 256,   // that were right

    // top
    LIMIT_PRICES = 64,

    // The page
    LIMIT_LIVE_EVENT_BYTES = 256 << 10, // one event: a frame, the table
    LIMIT_LIVE_EVENTS = 65536,          // kept of a run,
    LIMIT_LIVE_RUN_BYTES = 16 << 20,    // and their bytes
    LIMIT_LIVE_SCALER_BYTES = 4 << 20,
    LIMIT_LIVE_POLICIES = 16,        // ScaledObjects that a scaler shows,
    LIMIT_LIVE_GPUS = 64,            // and GPUs of each
    LIMIT_LIVE_READERS = 64,         // of one feed; more are answered 503
    LIMIT_PAGE_HTML_BYTES = 1 << 20, // the page without frames

    // Playground
    LIMIT_PLAYGROUND_PODS = 64,    // of the demo's service, ending ones too
    LIMIT_PLAYGROUND_SERIES = 512, // that its Prometheus keeps
    LIMIT_PLAYGROUND_PAGE_BYTES = 1 << 20,
    LIMIT_PLAYGROUND_REPLICAS = 32, // spec.replicas is never set higher
    LIMIT_PLAYGROUND_GPUS = 32,     // simulated ones

    // Threads
    LIMIT_QUEUE_ITEMS = 65536,
};
