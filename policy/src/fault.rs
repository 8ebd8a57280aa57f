//! Who is to blame, and the stable code of everything that can go wrong.
//!
//! A code is a promise to the people who read logs: it is never reused and never depends on input.
//! What a peer is told is decided elsewhere (`ward-edge` for statuses, `ward-media` for close codes).

/// Who can mend it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Whoever connected to us.
    Peer,
    /// Whoever configured or launched us.
    Operator,
    /// The machine: descriptors, memory, network.
    Host,
    /// We can.
    Bug,
}

impl Fault {
    /// The word in a log line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Operator => "operator",
            Self::Host => "host",
            Self::Bug => "bug",
        }
    }
}

macro_rules! reasons {
    ($(#[$head:meta])* $name:ident { $($(#[$doc:meta])+ $variant:ident = $code:literal, $fault:ident;)+ }) => {
        $(#[$head])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum $name { $($(#[$doc])+ $variant,)+ }

        impl $name {
            /// Every reason, in the order of the enum.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable code in log lines and reports.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// Who can mend it.
            #[must_use]
            pub const fn fault(self) -> Fault {
                match self { $(Self::$variant => Fault::$fault,)+ }
            }
        }
    };
}

reasons! {
    /// Why a request was not served.
    Refusal {
        /// The head did not end within its deadline.
        HeadSlow = "head_slow", Peer;
        /// The head is longer than its maximum.
        HeadLong = "head_long", Peer;
        /// The head has more fields than its maximum.
        HeadFields = "head_fields", Peer;
        /// The request line or a field is malformed: bare CR or LF, folding, a forbidden byte.
        HeadMalformed = "head_malformed", Peer;
        /// Not HTTP/1.1.
        HttpVersion = "http_version", Peer;
        /// `Host` absent, repeated or malformed.
        HostHeader = "host_header", Peer;
        /// Body framing that could be read in two ways: both lengths, repeated or odd ones.
        BodyFraming = "body_framing", Peer;
        /// An `Expect` that we do not meet.
        Expect = "expect", Peer;
        /// No such route; paths are compared byte for byte.
        Route = "route", Peer;
        /// The route exists, the method is not its own.
        Method = "method", Peer;
        /// The media route without a WebSocket upgrade.
        UpgradeAbsent = "upgrade_absent", Peer;
        /// `Sec-WebSocket-Version` is not 13.
        WebSocketVersion = "websocket_version", Peer;
        /// `Sec-WebSocket-Key` is absent, repeated or not 16 bytes of base64.
        WebSocketKey = "websocket_key", Peer;
        /// No `X-Twilio-Signature`. On the media route the setting `MEDIA_HANDSHAKE` decides.
        SignatureAbsent = "signature_absent", Peer;
        /// More than one `X-Twilio-Signature`.
        SignatureRepeated = "signature_repeated", Peer;
        /// A signature that is not 20 bytes of canonical base64.
        SignatureMalformed = "signature_malformed", Peer;
        /// A signature that matches no token and no spelling of the URL.
        SignatureWrong = "signature_wrong", Peer;
        /// No auth token is configured, so nothing can be verified.
        TokenAbsent = "token_absent", Operator;
        /// What stands where the ticket belongs is none: length, version, base64 or a life that no ticket has.
        TicketMalformed = "ticket_malformed", Peer;
        /// A ticket of a key that is not held: a stranger's, or one that was rotated away.
        TicketUnknownKey = "ticket_unknown_key", Peer;
        /// A ticket that its key has not signed.
        TicketWrong = "ticket_wrong", Peer;
        /// A ticket whose time is over.
        TicketExpired = "ticket_expired", Peer;
        /// A ticket that was issued in the future: the clocks differ too much.
        TicketEarly = "ticket_early", Operator;
        /// A ticket that was issued before this process started, or so soon after that a process before it may have
        /// taken it.
        TicketStale = "ticket_stale", Peer;
        /// A ticket that was used.
        TicketUsed = "ticket_used", Peer;
        /// As many tickets as can be remembered.
        TicketMemoryFull = "ticket_memory_full", Host;
        /// As many streams without any proof as may wait for their `start`.
        Unproven = "unproven", Peer;
        /// A body of another type than the route takes.
        BodyType = "body_type", Peer;
        /// A body longer than its maximum.
        BodyLong = "body_long", Peer;
        /// The body did not arrive within its deadline.
        BodySlow = "body_slow", Peer;
        /// The body could not be read to its end, or is no valid form.
        BodyMalformed = "body_malformed", Peer;
        /// Rightly signed, but not the fields of a voice webhook: signatures are malleable.
        Schema = "schema", Peer;
        /// Rightly signed, for another account or application than the configured one.
        ForeignAccount = "foreign_account", Peer;
        /// As many calls as this process takes.
        Capacity = "capacity", Host;
        /// The process is stopping.
        Draining = "draining", Operator;
    }
}

/// Why a ticket is not taken, wherever it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TicketFault {
    /// No ticket at all.
    Malformed,
    /// Of a key that is not held.
    UnknownKey,
    /// Not signed by its key.
    Wrong,
    /// Over.
    Expired,
    /// Issued in the future.
    Early,
    /// Issued before this process could know what was used.
    Stale,
    /// Used.
    Used,
    /// No room to remember it.
    MemoryFull,
}

macro_rules! ticket_faults {
    ($reasons:ident) => {
        impl From<TicketFault> for $reasons {
            fn from(fault: TicketFault) -> Self {
                match fault {
                    TicketFault::Malformed => Self::TicketMalformed,
                    TicketFault::UnknownKey => Self::TicketUnknownKey,
                    TicketFault::Wrong => Self::TicketWrong,
                    TicketFault::Expired => Self::TicketExpired,
                    TicketFault::Early => Self::TicketEarly,
                    TicketFault::Stale => Self::TicketStale,
                    TicketFault::Used => Self::TicketUsed,
                    TicketFault::MemoryFull => Self::TicketMemoryFull,
                }
            }
        }
    };
}

ticket_faults!(Refusal);
ticket_faults!(CallEnd);

reasons! {
    /// Why a connection ended before it made a request.
    ConnectionEnd {
        /// The TLS handshake failed: version, cipher, plain text, an unknown CA on their side.
        TlsFailed = "tls_failed", Peer;
        /// The TLS handshake did not finish within its deadline.
        TlsSlow = "tls_slow", Peer;
        /// Too many connections are waiting to become calls.
        Crowded = "crowded", Host;
        /// The peer left before the request was complete.
        Left = "left", Peer;
    }
}

reasons! {
    /// Why a call ended. Exactly one per call.
    CallEnd {
        /// The peer sent `stop`, or closed the WebSocket.
        PeerEnded = "peer_ended", Peer;
        /// The agent finished and hung up.
        AgentFinished = "agent_finished", Peer;
        /// The connection broke without a Close frame.
        PeerVanished = "peer_vanished", Peer;
        /// Nothing arrived for too long.
        Silent = "silent", Peer;
        /// The peer stopped reading what we send.
        NotReading = "not_reading", Peer;
        /// No `start` in time.
        StartLate = "start_late", Peer;
        /// `connected`, `start` and the rest in the wrong order, or twice.
        OutOfOrder = "out_of_order", Peer;
        /// `connected` names a protocol or version that we do not speak.
        UnknownProtocol = "unknown_protocol", Peer;
        /// `start` of another account than ours.
        ForeignAccount = "foreign_account", Peer;
        /// `start` with absent, malformed or contradictory SIDs.
        BadStart = "bad_start", Peer;
        /// `start` with another audio format or without the inbound track.
        BadFormat = "bad_format", Peer;
        /// `start` with too many or too long parameters.
        BadParameters = "bad_parameters", Peer;
        /// A ticket is demanded, and there is none.
        TicketAbsent = "ticket_absent", Peer;
        /// What stands where the ticket belongs is none: length, version, base64 or a life that no ticket has.
        TicketMalformed = "ticket_malformed", Peer;
        /// A ticket of a key that is not held: a stranger's, or one that was rotated away.
        TicketUnknownKey = "ticket_unknown_key", Peer;
        /// A ticket that its key has not signed.
        TicketWrong = "ticket_wrong", Peer;
        /// A ticket whose time is over.
        TicketExpired = "ticket_expired", Peer;
        /// A ticket that was issued in the future: the clocks differ too much.
        TicketEarly = "ticket_early", Operator;
        /// A ticket that was issued before this process started, or so soon after that a process before it may have
        /// taken it.
        TicketStale = "ticket_stale", Peer;
        /// A ticket that was used.
        TicketUsed = "ticket_used", Peer;
        /// As many tickets as can be remembered.
        TicketMemoryFull = "ticket_memory_full", Host;
        /// A ticket for another call.
        TicketOtherCall = "ticket_other_call", Peer;
        /// A ticket in the path and another in `start`.
        TicketRepeated = "ticket_repeated", Peer;
        /// The call or stream is live on another connection.
        AlreadyLive = "already_live", Peer;
        /// A newcomer took over after we had heard nothing for too long.
        Replaced = "replaced", Peer;
        /// Too many bad messages in too short a time.
        TooManyBad = "too_many_bad", Peer;
        /// Too many binary messages in too short a time.
        TooManyBinary = "too_many_binary", Peer;
        /// Too many messages of another stream.
        TooManyForeign = "too_many_foreign", Peer;
        /// Audio far faster than speech.
        AudioFlood = "audio_flood", Peer;
        /// Messages of any kind far faster than a call makes them.
        MessageFlood = "message_flood", Peer;
        /// Pings far faster than liveness needs.
        PingFlood = "ping_flood", Peer;
        /// A violation of RFC 6455.
        WebSocketProtocol = "websocket_protocol", Peer;
        /// A text message that is no UTF-8.
        WebSocketText = "websocket_text", Peer;
        /// A WebSocket frame or message past its maximum.
        MessageLong = "message_long", Peer;
        /// The longest duration of a call.
        DurationMax = "duration_max", Operator;
        /// The process is stopping and the drain deadline has passed.
        Draining = "draining", Operator;
        /// A panic in this call.
        Panicked = "panicked", Bug;
    }
}

reasons! {
    /// Why media got no connection to a vendor.
    DialFault {
        /// Nobody of that id in the registry.
        UnknownVendor = "unknown_vendor", Operator;
        /// PHI, and no business associate agreement is recorded as signed.
        BaaMissing = "baa_missing", Operator;
        /// The agreement begins later.
        BaaNotYet = "baa_not_yet", Operator;
        /// The agreement is over.
        BaaExpired = "baa_expired", Operator;
        /// Nobody has let the vendor in yet.
        NotApproved = "not_approved", Operator;
        /// The entry has not been looked at in time.
        ReviewOverdue = "review_overdue", Operator;
        /// The vendor may not be given that class of data.
        DataClass = "data_class", Operator;
        /// The entry has no host that gives the service itself.
        NoHost = "no_host", Operator;
        /// There is no key for the vendor, or its kind of credential cannot be made here.
        NoCredential = "no_credential", Operator;
        /// The name has no address, or no name server answered.
        NoAddress = "no_address", Host;
        /// Every address of the name is private, local or a metadata service's.
        AddressRefused = "address_refused", Host;
        /// Nobody took the connection.
        ConnectFailed = "connect_failed", Host;
        /// It took too long.
        DialLate = "dial_late", Host;
        /// As many connections as there may be.
        TooManyConnections = "too_many_connections", Host;
        /// Asked too often.
        TooManyQuestions = "too_many_questions", Host;
        /// A question that no honest media server asks.
        BadQuestion = "bad_question", Bug;
        /// The broker did not answer in time, or is not there.
        BrokerSilent = "broker_silent", Host;
        /// The broker's answer could not be used.
        BadAnswer = "bad_answer", Bug;
        /// No place is left for another token.
        TooManyTokens = "too_many_tokens", Host;
        /// The vendor's certificate or its TLS could not be accepted.
        VendorTls = "vendor_tls", Host;
        /// Whoever mints the vendor's tokens refused our key or our request: any 4xx.
        MintRefused = "mint_refused", Operator;
        /// Whoever mints them could not be spoken to, or failed itself.
        MintFailed = "mint_failed", Host;
        /// What was answered has no token in it that can be used, or is too long.
        MintGarbage = "mint_garbage", Host;
        /// The token took too long.
        MintLate = "mint_late", Host;
        /// The token was over already when it came.
        MintOver = "mint_over", Host;
        /// The entry is infrastructure, which is the broker's own: nobody gets a connection to it.
        Infrastructure = "infrastructure", Bug;
        /// The log asked for another entry than its sink's.
        WrongAsker = "wrong_asker", Bug;
    }
}

reasons! {
    /// Why a source gave no credential.
    SourceFault {
        /// Its entry, or the metadata service's, may not be dialled today, or there is none.
        NotApproved = "source_not_approved", Operator;
        /// It could not be reached, or its certificate could not be accepted.
        Unreachable = "source_unreachable", Host;
        /// It took too long.
        Late = "source_late", Host;
        /// It refused what we log in with, or may not give us that.
        Refused = "source_refused", Operator;
        /// It wants fewer requests.
        Throttled = "source_throttled", Host;
        /// Our clock is not its clock. Put right for this source.
        Clock = "source_clock", Host;
        /// What we had logged in with was over for it.
        Expired = "source_expired", Host;
        /// It has nothing of that name, or not that field in it.
        Absent = "source_absent", Operator;
        /// It failed itself: any 5xx.
        Broken = "source_broken", Host;
        /// What it answered is no answer, too long, or no credential.
        Garbage = "source_garbage", Host;
        /// What it gave was over already when it came.
        Over = "source_over", Host;
        /// No memory for secrets is left, or no random bytes.
        Memory = "source_memory", Host;
    }
}

reasons! {
    /// Why a vendor's connection is over.
    VendorEnd {
        /// The call was over.
        CallOver = "call_over", Peer;
        /// The vendor closed it, or it broke.
        VendorClosed = "vendor_closed", Host;
        /// The longest session that the registry allows is over.
        SessionOver = "session_over", Operator;
        /// The agreement or its review ended.
        EntryExpired = "entry_expired", Operator;
        /// The media server that had it is gone.
        MediaGone = "media_gone", Host;
        /// We closed it: what it was doing was not wanted any more, or it had failed.
        LetGo = "let_go", Peer;
    }
}

reasons! {
    /// Why a handshake got no signature.
    SigningFault {
        /// The signing process did not answer in time.
        Late = "signing_late", Host;
        /// The signing process is gone.
        Gone = "signing_gone", Host;
        /// The signing process would not sign that.
        Refused = "signing_refused", Bug;
        /// Too many handshakes at once.
        Limited = "signing_limited", Peer;
    }
}

reasons! {
    /// Why there is no new certificate.
    AcmeFault {
        /// The registry does not let the authority be asked.
        Registry = "acme_registry", Operator;
        /// The authority sent us to a host that its entry does not have.
        Host = "acme_host", Operator;
        /// Nobody took the connection, or its TLS could not be accepted.
        Unreachable = "acme_unreachable", Host;
        /// It took too long.
        Late = "acme_late", Host;
        /// What was answered is no answer, or too long.
        Garbage = "acme_garbage", Host;
        /// The authority failed itself: 5xx.
        Broken = "acme_broken", Host;
        /// The authority wants no more from us for a while.
        RateLimited = "acme_rate_limited", Operator;
        /// Numbers that are to be used once were not taken, several times in a row.
        BadNonce = "acme_bad_nonce", Host;
        /// The authority does not know our account any more, or has revoked it.
        Account = "acme_account", Operator;
        /// The authority could not see that the names are ours.
        Validation = "acme_validation", Operator;
        /// The authority has no way to check that we can go: TLS-ALPN-01 is not offered.
        NotOffered = "acme_not_offered", Operator;
        /// The authority refused for another reason.
        Rejected = "acme_rejected", Operator;
        /// What the authority issued is not for our names or our key, or not for now.
        Unfit = "acme_unfit", Host;
        /// `sign` did not make what it was asked for.
        SignSilent = "acme_sign_silent", Host;
        /// The server did not say that it uses what it was given.
        NotTaken = "acme_not_taken", Host;
    }
}

reasons! {
    /// Why a server does not use a certificate that the broker gave it.
    CertificateFault {
        /// It cannot be read.
        Garbage = "certificate_garbage", Bug;
        /// `sign` does not have its key, or did not say so.
        NoKey = "certificate_no_key", Host;
    }
}

reasons! {
    /// Why a line of a role's log is not by the book. Our own renderer never writes one: a role that
    /// does is broken or taken over.
    LineFault {
        /// Longer than a line may be.
        TooLong = "line_long", Bug;
        /// A byte that is not printable ASCII.
        NotPrintable = "line_not_printable", Bug;
        /// It does not begin as every line does.
        Head = "line_head", Bug;
        /// It names another role than the one that wrote it.
        ForeignRole = "line_foreign_role", Bug;
        /// It is an event that others write.
        ForeignEvent = "line_foreign_event", Bug;
        /// It names an event that there is not.
        UnknownEvent = "line_unknown_event", Bug;
        /// A field is absent, in the wrong place, not the event's own, or has a wrong value.
        WrongField = "line_wrong_field", Bug;
        /// Something follows the end of the object.
        Trailing = "line_trailing", Bug;
        /// Too many lines of the role's in a short time.
        Flood = "line_flood", Bug;
    }
}

reasons! {
    /// Why a service of a conversation failed, as far as its connector can tell.
    ServiceFault {
        /// No connection: the broker refused, or nobody could be reached.
        Unreachable = "service_unreachable", Host;
        /// The connection ended in the middle.
        Closed = "service_closed", Host;
        /// It took too long to answer.
        Late = "service_late", Host;
        /// It refused our credential: 401 or 403.
        Unauthorized = "service_unauthorized", Operator;
        /// It refused our request: any other 4xx.
        Rejected = "service_rejected", Operator;
        /// It wants no more from us: 402 or 429.
        Quota = "service_quota", Operator;
        /// It has failed itself: 5xx.
        Broken = "service_broken", Host;
        /// What it answered is no answer.
        Garbage = "service_garbage", Host;
        /// What it answered is longer than its limit.
        TooLong = "service_too_long", Host;
        /// The time of its entry or of its session is over.
        Over = "service_over", Operator;
        /// Its entry asks for what its connector cannot do, so nothing was asked of it.
        Unsuited = "service_unsuited", Operator;
    }
}

reasons! {
    /// Why the log sink did not take what it was sent.
    SinkFault {
        /// No connection: the broker refused, or is not there. Its own event says more.
        Unreachable = "sink_unreachable", Host;
        /// Its certificate or its TLS could not be accepted.
        Tls = "sink_tls", Host;
        /// The connection ended before the answer.
        Closed = "sink_closed", Host;
        /// It took too long.
        Late = "sink_late", Host;
        /// It refused our credential: 401 or 403.
        Unauthorized = "sink_unauthorized", Operator;
        /// It refused the records: any other 3xx or 4xx.
        Rejected = "sink_rejected", Operator;
        /// It wants them later, or has failed itself: 408, 429 or 5xx.
        Busy = "sink_busy", Host;
        /// What it answered is no answer, or came before the end of what it was sent.
        Garbage = "sink_garbage", Host;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_stable_looking_and_unique() {
        let mut codes: Vec<&str> = Refusal::ALL.iter().map(|reason| reason.code()).collect();
        assert!(codes.iter().all(|c| c.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Refusal::ALL.len());
        let mut codes: Vec<&str> = CallEnd::ALL.iter().map(|reason| reason.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), CallEnd::ALL.len());
    }

    #[test]
    fn a_panic_is_our_own_fault_and_a_bad_signature_is_not() {
        assert_eq!(CallEnd::Panicked.fault(), Fault::Bug);
        assert_eq!(Refusal::SignatureWrong.fault(), Fault::Peer);
        assert_eq!(Refusal::TokenAbsent.fault(), Fault::Operator);
    }
}
