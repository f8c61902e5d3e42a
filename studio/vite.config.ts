import { defineConfig, type Plugin } from 'vite'

// The page ships as one file, opened from disk: scripts and styles go into the document.
function inline(): Plugin {
  return {
    name: 'inline',
    enforce: 'post',
    generateBundle(_, bundle) {
      const page = bundle['index.html']
      if (page?.type !== 'asset') throw new Error('the page has no index.html')
      let html = String(page.source)
      for (const [name, file] of Object.entries(bundle)) {
        if (file === page) continue
        if (file.type === 'chunk') {
          const tag = new RegExp(`<script[^>]*src="[^"]*${name}"[^>]*></script>`)
          const code = file.code.replaceAll('</script', '<\\/script')
          html = html.replace(tag, '')
          html = html.replace('</body>', () => `<script type="module">${code}</script>\n  </body>`)
        } else {
          const tag = new RegExp(`<link[^>]*href="[^"]*${name}"[^>]*>`)
          html = html.replace(tag, () => `<style>${file.source}</style>`)
        }
        delete bundle[name]
      }
      page.source = html
    },
  }
}

export default defineConfig({
  root: import.meta.dirname ?? '.',
  base: './',
  plugins: [inline()],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 1 << 20,
    reportCompressedSize: false,
  },
})
