// Loads a page in Chromium, twice, and prints what it saw as one JSON object.
//
//   node look.js ORIGIN PATH SCREENSHOT [POLICY]
//
// POLICY replaces the content policy of the answer: so it can be shown that a violation would be seen. Nothing is
// loaded from anywhere but ORIGIN, and a request to another place is reported.
'use strict'

const { mkdtempSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { chromium } = require('playwright-core')

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
]

async function load(context, origin, path, policy) {
  const page = await context.newPage()
  const seen = { violations: [], console: [], errors: [], foreign: [], failed: [] }
  await page.addInitScript(() => {
    window.violations = []
    document.addEventListener('securitypolicyviolation', (event) => {
      window.violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}`)
    })
  })
  page.on('console', (message) => seen.console.push(message.text()))
  page.on('pageerror', (error) => seen.errors.push(String(error)))
  page.on('request', (request) => {
    if (!request.url().startsWith(`${origin}/`)) seen.foreign.push(request.url())
  })
  page.on('requestfailed', (request) => seen.failed.push(request.url()))
  if (policy !== undefined) {
    await page.route(`${origin}${path}`, async (route) => {
      const response = await route.fetch()
      await route.fulfill({ response, headers: { ...response.headers(), 'content-security-policy': policy } })
    })
  }
  const response = await page.goto(`${origin}${path}`, { waitUntil: 'networkidle' })
  seen.status = response.status()
  seen.policy = (await response.allHeaders())['content-security-policy']
  Object.assign(seen, await page.evaluate(async () => {
    // The icon is asked for by the window around the page, which a headless one has not: ask here.
    const icon = new Image()
    icon.src = document.querySelector('link[rel=icon]').href
    await icon.decode().catch(() => undefined)
    return {
      // Browsers hide the attribute; the property still has it.
      nonces: [...new Set([...document.scripts].map((script) => script.nonce))],
      scripts: document.scripts.length,
      hydrated: Object.keys(document.querySelector('main')).some((key) => key.startsWith('__react')),
      font: getComputedStyle(document.body).fontFamily,
      width: document.querySelector('main').getBoundingClientRect().width,
      icon: icon.naturalWidth > 0,
      title: document.title,
      language: document.documentElement.lang,
      headings: [...document.querySelectorAll('h1, h2')].map((heading) => heading.tagName),
      unlabelled: [...document.querySelectorAll('a, button, img, input')]
        .filter((element) => !(element.textContent || element.getAttribute('alt'))).length,
      violations: window.violations,
    }
  }))
  return { page, seen }
}

async function main() {
  const [origin, path, screenshot, policy] = process.argv.slice(2)
  const profile = mkdtempSync(join(tmpdir(), 'ward-chromium-'))
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: '/usr/bin/chromium',
    args: FLAGS,
    ignoreHTTPSErrors: true,
    viewport: { width: 900, height: 900 },
  })
  try {
    const first = await load(browser, origin, path, policy)
    await first.page.screenshot({ path: screenshot, fullPage: true })
    await first.page.emulateMedia({ colorScheme: 'dark' })
    await first.page.setViewportSize({ width: 360, height: 740 })
    await first.page.screenshot({ path: screenshot.replace('.png', '-narrow-dark.png'), fullPage: true })
    first.seen.overflows = await first.page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth)
    const second = await load(browser, origin, path, policy)
    console.log(JSON.stringify({ version: browser.browser()?.version() ?? '', loads: [first.seen, second.seen] }))
  } finally {
    await browser.close()
    rmSync(profile, { recursive: true, force: true })
  }
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
