"""Examples of ports, of secrets that stand in the manifest, and of deployment."""

from manifest.explained.example import Example

EXAMPLES = {
    "E101": Example("""\
 version: 1
 name: shop
 programs:
   api: {command: [/opt/api], ports: ["0.0.0.0:8000"]}
-  admin: {command: [/opt/admin], ports: ["127.0.0.1:8000"]}
+  admin: {command: [/opt/admin], ports: ["127.0.0.1:8001"]}
"""),
    "E102": Example("""\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
     ready: {http: "http://127.0.0.1:8000/livez"}
-    ports: [{listen: "127.0.0.1:8000", expose: true}]
+    ports: [{listen: "0.0.0.0:8000", expose: true}]
"""),
    "E103": Example("""\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
-    ready: {http: "http://127.0.0.1:8080/livez"}
+    ready: {http: "http://127.0.0.1:8000/livez"}
     ports: ["0.0.0.0:8000"]
 probes: {listen: "0.0.0.0:9000"}
"""),
    "E104": Example("""\
 version: 1
 name: shop
+secrets: {db-password: {generate: 32, env: DB_PASSWORD, programs: [db, api]}}
 programs:
   db: {command: [/opt/db]}
   api:
     command: [/opt/api]
-    environment: {DB_PASSWORD: changeme}
     after: [db]
"""),
    "E109": Example("""\
 version: 1
 name: shop
 boot: {writable: [{path: /data, storage: volume}]}
 programs:
   api: {command: [/opt/api]}
 probes: {listen: "0.0.0.0:8080"}
-deploy: {kind: deployment, replicas: 3}
+deploy: {kind: statefulset, replicas: 3}
"""),
    "W010": Example("""\
 version: 1
 name: shop
+secrets: {database-url: {mounted: /run/secrets/database-url, env: DATABASE_URL, programs: [api]}}
 programs:
-  api:
-    command: [/opt/api]
-    environment: {DATABASE_URL: "postgres://shop:f7Rw2kq9@db/shop"}
+  api: {command: [/opt/api]}
"""),
    "W011": Example("""\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
+    ready: {http: "http://127.0.0.1:8000/livez"}
     ports: [{listen: "0.0.0.0:8000", expose: true}]
"""),
    "W012": Example("""\
 version: 1
 name: shop
 programs:
   web:
-    command: [/opt/web, --port, 80]
-    ready: {tcp: 80}
-    ports: [{listen: "0.0.0.0:80", expose: true}]
+    command: [/opt/web, --port, 8000]
+    ready: {tcp: 8000}
+    ports: [{listen: "0.0.0.0:8000", expose: true}]
"""),
    "W013": Example("""\
 version: 1
 name: shop
 programs:
   api: {command: [/opt/api]}
-probes: {listen: "127.0.0.1:8080"}
+probes: {listen: "0.0.0.0:8080"}
 deploy: {replicas: 2}
"""),
    "W014": Example("""\
 version: 1
 name: shop
-identity: {id: main-street}
+identity: {id: {env: POD_NAME, default: hostname}}
 programs:
   api: {command: [/opt/api]}
 probes: {listen: "0.0.0.0:8080"}
 deploy: {replicas: 2}
"""),
}
