"""The style of the gate's report, light and dark."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --ground: #ffffff; --line: #d0d7de;
  --bad: #b42318; --good: #1a7f37; --open: #8a5a00; --new: #0550ae; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9da7b1; --ground: #0d1117; --line: #3d444d;
  --bad: #ff7b72; --good: #56d364; --open: #e3b341; --new: #79c0ff; } }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 1.5rem; overflow-wrap: anywhere; }
h1 { font-size: 2rem; margin: 0; } h2 { margin: 2rem 0 0.5rem; border-bottom: 1px solid var(--line); }
.failed { color: var(--bad); } .passed { color: var(--good); } .undecided { color: var(--open); }
.lead { font-size: 1.2rem; margin: 0.3rem 0; }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: 6px; padding: 0.6rem; }
figure img { max-width: 100%; height: 180px; object-fit: contain; display: block; }
figcaption p { margin: 0.3rem 0; } .missing, details, small { color: var(--soft); }
del { color: var(--bad); } ins { color: var(--new); font-weight: 600; }
pre { border: 1px solid var(--line); padding: 0.6rem; max-height: 7rem; overflow: auto; white-space: pre-wrap; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 2rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; border-bottom: 1px solid var(--line); }
td + td, th + th { text-align: right; }
"""
