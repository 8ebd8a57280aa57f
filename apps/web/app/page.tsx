// What this host is and is not, for whoever finds it in a browser.

export default function Page() {
  return (
    <main>
      <h1>Voice webhook host</h1>
      <p>
        When somebody calls, Twilio asks this host where the call should go. The answer is a short document that
        connects the call to a media host. Then this host is done.
      </p>
      <section aria-labelledby="is">
        <h2 id="is">What it does</h2>
        <ul>
          <li>
            Takes <code>POST /api/voice/incoming</code> from Twilio, and from nobody else: a request without
            Twilio’s signature gets 403.
          </li>
          <li>Answers with TwiML that is the same for every call.</li>
          <li>
            Says at <a href="/health">/health</a> whether it is ready.
          </li>
        </ul>
      </section>
      <section aria-labelledby="is-not">
        <h2 id="is-not">What it does not do</h2>
        <ul>
          <li>It takes no audio and has no WebSocket: the call is held by a separate media host.</li>
          <li>It keeps nothing about callers and logs no field of a webhook.</li>
          <li>It is not a way to reach a clinic. To speak to somebody, please call.</li>
        </ul>
      </section>
    </main>
  )
}
