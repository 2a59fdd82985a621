"""Examples of single keys and values that are not what they should be."""

from manifest.explained.example import Example

EXAMPLES = {
    "E020": Example("""\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
-    envirnoment: {PORT: 8000}
+    environment: {PORT: 8000}
"""),
    "E021": Example("""\
 version: 1
 name: shop
 programs:
-  migrate: {oneshot: true}
+  migrate: {command: [/opt/migrate], oneshot: true}
"""),
    "E022": Example("""\
 version: 1
 name: shop
 programs:
   api: {command: [/opt/api]}
-  worker: {command: [/opt/worker], after: api}
+  worker: {command: [/opt/worker], after: [api]}
"""),
    "E023": Example("""\
 version: 1
 name: shop
 programs:
   api: {command: [/opt/api]}
-  ticker: {command: [/opt/ticker], required: no}
+  ticker: {command: [/opt/ticker], required: false}
"""),
    "E024": Example("""\
 version: 1
 name: shop
 programs:
-  api: {command: [/opt/api], start_retries: "3"}
+  api: {command: [/opt/api], start_retries: 3}
"""),
    "E025": Example("""\
 version: 1
 name: shop
-boot:
 programs:
   api: {command: [/opt/api]}
"""),
    "E026": Example("""\
 version: 1
 name: shop
 programs:
-  api: {command: [/opt/api], stop: {signal: SIGINT}}
+  api: {command: [/opt/api], stop: {signal: INT}}
"""),
    "E027": Example("""\
 version: 1
 name: shop
-boot: {seal_timeout: 120}
+boot: {seal_timeout: 120s}
 programs:
   api: {command: [/opt/api]}
"""),
    "E028": Example("""\
 version: 1
 name: shop
 programs:
-  api_v2: {command: [/opt/api]}
+  api-v2: {command: [/opt/api]}
"""),
    "E029": Example("""\
 version: 1
 name: shop
-boot: {writable: [data/orders]}
+boot: {writable: [/data/orders]}
 programs:
   api: {command: [/opt/api]}
"""),
    "E030": Example("""\
 version: 1
 name: shop
-boot: {writable: [{path: /data, mode: "0555"}]}
+boot: {writable: [{path: /data, mode: "0755"}]}
 programs:
   api: {command: [/opt/api]}
"""),
    "E031": Example("""\
 version: 1
 name: shop
 programs:
-  api: {command: /opt/api --port 8000}
+  api: {command: [/opt/api, --port, 8000]}
"""),
    "E032": Example("""\
 version: 1
 name: shop
 programs:
-  api: {command: []}
+  api: {command: [/opt/api]}
"""),
    "E033": Example("""\
 version: 1
 name: shop
 programs:
-  api: {command: [/opt/api, --separator, "\\0"]}
+  api: {command: [/opt/api, --separator, nul]}
"""),
    "E034": Example("""\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
-    environment: {LOG-LEVEL: debug}
+    environment: {LOG_LEVEL: debug}
"""),
    "E035": Example("""\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
-    environment: {BOOTSEAL_MODE: debug}
+    environment: {SHOP_MODE: debug}
"""),
    "E036": Example("""\
 version: 1
 name: shop
 programs:
   api: {command: [/opt/api]}
-probes: {listen: "localhost:8080"}
+probes: {listen: "127.0.0.1:8080"}
"""),
    "E037": Example("""\
-version: 2
+version: 1
 name: shop
 programs:
   api: {command: [/opt/api]}
"""),
    "E038": Example("""\
 version: 1
 name: shop
-required: [api]
 programs:
-  api: {command: [/opt/api]}
+  api: {command: [/opt/api], required: true}
"""),
    "E039": Example("""\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
-    ready: {http: "https://shop.example.org/livez"}
+    ready: {http: "http://127.0.0.1:8000/livez"}
"""),
}
