"""Examples of what can be built and is probably not meant."""

from manifest.explained.example import Example

EXAMPLES = {
    "W001": Example("""\
 version: 1
 name: shop
 programs:
-  redis: {command: [redis-server], required: false}
+  redis: {command: [redis-server], required: true}
   api: {command: [/opt/api], after: [redis]}
"""),
    "W002": Example("""\
 version: 1
 name: shop
 artifacts: {api: /opt/api}
 programs:
-  api: {command: [/opt/api]}
+  api: {command: [/opt/api], artifacts: [api]}
"""),
    "W003": Example("""\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
     ready: {tcp: 8000}
     live: {restart: true}
-    on_exit: degrade
+    on_exit: restart
"""),
    "W004": Example("""\
 version: 1
 name: shop
-boot: {seal_timeout: 2m}
+boot: {seal_timeout: 6m}
 programs:
   api:
     command: [/opt/api]
     ready: {tcp: 8000, timeout: 5m}
"""),
    "W005": Example("""\
 version: 1
 name: shop
-secrets: {api-key: {generate: 32, env: API_KEY}}
+secrets: {api-key: {generate: 32, env: API_KEY, programs: [api]}}
 programs:
   api: {command: [/opt/api]}
"""),
    "W006": Example("""\
 version: 1
 name: shop
 security: {exceptions: {program-users: the plug-ins are not ours}}
 programs:
   api: {command: [/opt/api], user: "1001:1001"}
-  plugins: {command: [/opt/plugins], user: "1001:1001"}
+  plugins: {command: [/opt/plugins], user: "1002:1002"}
"""),
    "W007": Example("""\
 version: 1
 name: shop
-artifacts: {api: {path: /opt/api, required: false}}
+artifacts: {api: {path: /opt/api, required: true}}
 programs:
   api: {command: [/opt/api], required: true, artifacts: [api]}
"""),
    "W008": Example(
        """\
 version: 1
 name: shop
-security: {exceptions: {program-users: the plug-ins are not ours}}
 programs:
-  api: {command: [/opt/api], user: "1001:1001"}
+  api: {command: [/opt/api]}
""",
        up=True,
        note="Or keep it, and boot the image: there users are applied.",
    ),
    "W009": Example("""\
 version: 1
 name: shop
 programs:
   api: {command: [/opt/api]}
-probes: {detail: "0.0.0.0:8081"}
+probes: {detail: {listen: "0.0.0.0:8081", token: {file: /etc/shop/token}}}
"""),
}
